// A file in memory, mapped: read-only, shared between processes, read where it is used.
#pragma once

#include <string>
#include <string_view>

namespace carousel {

class MappedFile {
 public:
  MappedFile() = default;
  // Throws Error for what is missing, is no regular file, or is larger than `max_bytes`.
  MappedFile(const std::string& path, size_t max_bytes);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view bytes() const { return {data_, size_}; }

 private:
  const char* data_ = "";  // mapped only if size_ is not 0
  size_t size_ = 0;
};

}  // namespace carousel
