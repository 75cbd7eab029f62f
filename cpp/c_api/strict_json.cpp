#include "strict_json.h"

#include <set>
#include <vector>

#include "error.h"

namespace carousel {

nlohmann::json parse_json(std::string_view text, const std::string& where, size_t max_values) {
  using nlohmann::json;
  std::vector<std::set<std::string>> names;  // of the objects that are open
  size_t values = 0;
  const auto check = [&](int, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) names.emplace_back();
    if (event == json::parse_event_t::object_end) names.pop_back();
    if (event == json::parse_event_t::key &&
        !names.back().insert(parsed.get_ref<const std::string&>()).second)
      refuse_model(where + " names the same thing twice");
    if (++values > max_values) refuse_model(where + " holds too much to be true");
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), check);
  } catch (const json::exception&) {
    refuse_model(where + " is not JSON, or is cut short");
  }
}

}  // namespace carousel
