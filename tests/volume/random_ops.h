// Random operations on a volume and the model at once; every answer must be the same.
#pragma once

#include <map>
#include <random>
#include <string>

#include "tests/volume/model.h"
#include "volume/group/group.h"

namespace tidemark::test {

class RandomOps {
 public:
  RandomOps(Volume& volume, uint64_t seed) : volume_(volume), random_(seed) {}
  void step();  // one operation; fails the test where engine and model disagree
  [[nodiscard]] Model& model() { return model_; }
  uint64_t below(uint64_t bound) { return std::uniform_int_distribution<uint64_t>(0, bound - 1)(random_); }
  void rebind(Volume& volume) { volume_ = std::ref(volume); }

 private:
  Ino any();
  std::string name();
  std::string bytes(uint64_t size);
  uint64_t offset(Ino ino);
  void make();
  void names_step(uint64_t kind);
  void data_step(uint64_t kind);

  std::reference_wrapper<Volume> volume_;
  std::mt19937_64 random_;
  Model model_;
};

}  // namespace tidemark::test
