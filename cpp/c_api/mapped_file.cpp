#include "mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "error.h"

namespace carousel {
namespace {

class Descriptor {
 public:
  // Non-blocking: to open a pipe must not wait for who writes into it.
  explicit Descriptor(const std::string& path)
      : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (number_ >= 0) return;
    if (errno == ENOENT) refuse_model(path + " is missing: not a model folder, or not a whole one");
    refuse_model(path + " can't be read: " + std::strerror(errno));
  }
  ~Descriptor() { ::close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

}  // namespace

MappedFile::MappedFile(const std::string& path, size_t max_bytes) {
  const Descriptor file(path);
  struct stat status;
  if (::fstat(file.number(), &status) != 0 || !S_ISREG(status.st_mode))
    refuse_model(path + " is not a regular file");
  if (static_cast<uint64_t>(status.st_size) > max_bytes)
    refuse_model(path + " is too large to be true");
  const size_t size = static_cast<size_t>(status.st_size);
  if (size == 0) return;
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.number(), 0);
  if (data == MAP_FAILED) refuse_model(path + " can't be mapped: " + std::strerror(errno));
  data_ = static_cast<const char*>(data);
  size_ = size;
}

MappedFile::~MappedFile() {
  if (size_) ::munmap(const_cast<char*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, "")), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace carousel
