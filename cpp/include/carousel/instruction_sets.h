// Which tables of kernels this machine can run.
#pragma once

#include <string>
#include <vector>

#include "carousel/kernels.h"

namespace carousel {

// The table for an instruction set by its name, or the best one for an empty name; null if this
// machine does not have it.
const Kernels* find_kernels(const std::string& name);

// The names of all that this machine has, best first.
std::vector<std::string> instruction_sets();

}  // namespace carousel
