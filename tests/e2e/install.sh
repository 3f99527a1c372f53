# What is installed serves a project of its own: find_package(nnc) with nnc_add_model, and pkg-config, and both programs
# compute the same.
. "$(dirname "$0")/common.bash"

build=$(dirname "$NNC")
rm -rf prefix project
cmake --install "$build" --prefix "$PWD/prefix" > install.log 2>&1 || fail 'cmake --install'
present prefix/bin/nnc
present prefix/share/man/man1/nnc.1
present prefix/share/bash-completion/completions/nnc
mkdir project
cp "$SOURCE/models/apps/linear.nn" project/
cat > project/main.c << 'END'
#include <stdio.h>
#include <stdlib.h>

#include "linear.h"
#include "pool.h"

int main(void) {
  static float x[4][64];
  static int32_t y[4] = {0, 1, 2, 3};
  float loss = 0;
  nn_pool *pool = nn_pool_new(2);
  nn_run run = {nn_pool_parallel_for, pool, nn_pool_workers(pool), NULL, NULL};
  void *state = aligned_alloc(LINEAR_ALIGN, (LINEAR_STATE_BYTES + 63) / 64 * 64);
  void *scratch = aligned_alloc(LINEAR_ALIGN, (linear_train_scratch(4, run.workers) + 64) / 64 * 64);
  if (linear_init(state, 0) != 0) return 1;
  for (int k = 0; k < 4; k++) x[k][k] = 1;
  for (int k = 0; k < 200; k++) linear_train(&run, state, scratch, 4, x[0], y, 0.5f, &loss);
  printf("%.6f\n", (double)loss);
  free(scratch);
  free(state);
  nn_pool_free(pool);
  return 0;
}
END
cat > project/CMakeLists.txt << 'END'
cmake_minimum_required(VERSION 3.20)
project(user C)
find_package(nnc REQUIRED)
add_executable(user main.c)
target_link_libraries(user PRIVATE nnc::nn)
nnc_add_model(user linear.nn)
END
flags=""
nm "$build/libnn.a" > symbols 2> nm.log
if grep -q __asan symbols; then flags="-fsanitize=address,undefined"; fi
cmake -S project -B project/build -Dnnc_DIR="$(dirname "$(find "$PWD/prefix" -name nncConfig.cmake)")" \
  -DCMAKE_C_FLAGS="$flags" > cmake.log 2>&1 || fail 'a project with find_package(nnc)'
cmake --build project/build > build.log 2>&1 || fail 'building a project with nnc_add_model'
project/build/user > by_cmake || fail 'the program that CMake built'

PKG_CONFIG_PATH=$(dirname "$(find "$PWD/prefix" -name nnc.pc)")
export PKG_CONFIG_PATH
nnc=$(pkg-config --variable=nnc nnc)
present "$nnc"
(cd project && "$nnc" linear.nn -o linear.o) || fail 'the installed nnc'
# shellcheck disable=SC2046
cc $flags -Iproject project/main.c project/linear.o -o by_hand $(pkg-config --cflags --libs --static nnc) || fail 'pkg-config'
./by_hand > by_pkg_config || fail 'the program that pkg-config built'
same by_cmake by_pkg_config
awk '{ exit !($1 > 0 && $1 < 0.1) }' by_cmake || fail "the loss is $(cat by_cmake)"
finish
