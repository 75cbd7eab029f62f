// JSON in which nothing is named twice, and that has no more values than it may have.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace carousel {

// Throws Error for all else; `where` is what it calls the file.
nlohmann::json parse_json(std::string_view text, const std::string& where, size_t max_values);

}  // namespace carousel
