# What nnc stands on: LLVM's C API, OpenBLAS (the interpreter's products), cJSON (headers of safetensors, --json).
if(NNC_LLVM)
  set(NNC_LLVM_CONFIG "" CACHE STRING "llvm-config to use; empty finds version 19, else 22")
  if(NOT NNC_LLVM_CONFIG)
    find_program(NNC_LLVM_CONFIG_FOUND NAMES llvm-config-19 llvm-config-22 llvm-config)
    set(NNC_LLVM_CONFIG ${NNC_LLVM_CONFIG_FOUND})
  endif()
  if(NOT NNC_LLVM_CONFIG)
    message(FATAL_ERROR "LLVM is missing: apt-get install llvm-19-dev (scripts/demo does it)")
  endif()
  foreach(what includedir libdir version)
    execute_process(COMMAND ${NNC_LLVM_CONFIG} --${what} OUTPUT_VARIABLE LLVM_${what} OUTPUT_STRIP_TRAILING_WHITESPACE)
  endforeach()
  string(REGEX MATCH "^[0-9]+" LLVM_MAJOR ${LLVM_version})
  find_library(LLVM_LIBRARY NAMES LLVM-${LLVM_MAJOR} LLVM HINTS ${LLVM_libdir} REQUIRED)
  add_library(nnc_llvm INTERFACE)
  target_include_directories(nnc_llvm SYSTEM INTERFACE ${LLVM_includedir})

  # The program itself takes LLVM's archives where they are and link: it starts in 9 ms instead of 26, most of which the
  # loader spends on what nnc never calls. Programs of tests, of which there are many, share the library.
  set(components x86 aarch64 orcjit debuginfodwarf)
  execute_process(COMMAND ${NNC_LLVM_CONFIG} --link-static --libfiles ${components} OUTPUT_VARIABLE LLVM_ARCHIVES
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  separate_arguments(LLVM_ARCHIVES)
  list(APPEND LLVM_ARCHIVES stdc++ z zstd m ${CMAKE_DL_LIBS} Threads::Threads -Wl,--gc-sections)
  include(CheckCSourceCompiles)
  set(CMAKE_REQUIRED_INCLUDES ${LLVM_includedir})
  set(CMAKE_REQUIRED_LIBRARIES ${LLVM_ARCHIVES})
  check_c_source_compiles("#include <llvm-c/LLJIT.h>
    #include <llvm-c/Target.h>
    int main(void) {
      LLVMOrcLLJITRef jit;
      LLVMInitializeX86Target();
      LLVMInitializeAArch64Target();
      return LLVMOrcCreateLLJIT(&jit, 0) != 0;
    }" NNC_LLVM_ARCHIVES_LINK)
  unset(CMAKE_REQUIRED_INCLUDES)
  unset(CMAKE_REQUIRED_LIBRARIES)
  set(llvm ${LLVM_LIBRARY})
  if(NNC_LLVM_ARCHIVES_LINK)
    add_library(nnc_llvm_archives INTERFACE)
    target_link_libraries(nnc_llvm_archives INTERFACE ${LLVM_ARCHIVES})
    set(llvm $<IF:$<BOOL:$<TARGET_PROPERTY:NNC_LLVM_ARCHIVES>>,nnc_llvm_archives,${LLVM_LIBRARY}>)
  endif()
  target_link_libraries(nnc_llvm INTERFACE ${llvm})
endif()

# The serial OpenBLAS where there is one: the interpreter holds it at one thread anyway, and the other starts threads when
# it is loaded, which costs time and, under a limit of memory, hangs. Its folder comes first when nnc looks for it.
find_library(OPENBLAS_LIBRARY openblas PATH_SUFFIXES openblas-serial
             PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-serial NO_DEFAULT_PATH)
find_library(OPENBLAS_LIBRARY openblas REQUIRED)
find_path(OPENBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas-serial x86_64-linux-gnu openblas REQUIRED)
get_filename_component(OPENBLAS_FOLDER ${OPENBLAS_LIBRARY} DIRECTORY)
add_library(nnc_openblas INTERFACE)
target_include_directories(nnc_openblas SYSTEM INTERFACE ${OPENBLAS_INCLUDE})
target_link_libraries(nnc_openblas INTERFACE ${OPENBLAS_LIBRARY})
list(APPEND CMAKE_BUILD_RPATH ${OPENBLAS_FOLDER})
list(APPEND CMAKE_INSTALL_RPATH ${OPENBLAS_FOLDER})

find_path(CJSON_INCLUDE cjson/cJSON.h REQUIRED)
find_library(CJSON_LIBRARY cjson REQUIRED)
add_library(nnc_cjson INTERFACE)
target_include_directories(nnc_cjson SYSTEM INTERFACE ${CJSON_INCLUDE})
target_link_libraries(nnc_cjson INTERFACE ${CJSON_LIBRARY})
