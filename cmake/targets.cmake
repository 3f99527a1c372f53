# Which library knows which, the prelude as data, and the program.
function(nnc_knows name)
  get_target_property(kind nnc_${name} TYPE)
  if(kind STREQUAL "INTERFACE_LIBRARY")
    target_link_libraries(nnc_${name} INTERFACE ${ARGN})
  else()
    target_link_libraries(nnc_${name} PUBLIC ${ARGN})
  endif()
endfunction()
nnc_knows(runtime Threads::Threads nnc_cjson)
nnc_knows(frontend nnc_ir)
nnc_knows(passes nnc_ir)
nnc_knows(codegen nnc_ir nnc_llvm)
nnc_knows(command nnc_frontend nnc_passes nnc_codegen nnc_runtime nnc_ir nnc_cjson ZLIB::ZLIB PNG::PNG ${CMAKE_DL_LIBS})

# Text that is part of nnc becomes a C array, so that nnc is one file: the prelude, and what CUDA kernels are made of.
function(nnc_embed library file name)
  set(text_c ${CMAKE_BINARY_DIR}/${name}.c)
  add_custom_command(OUTPUT ${text_c} DEPENDS ${CMAKE_SOURCE_DIR}/${file} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    COMMAND ${CMAKE_COMMAND} -DINPUT=${CMAKE_SOURCE_DIR}/${file} -DOUTPUT=${text_c} -DNAME=${name} -P
            ${CMAKE_SOURCE_DIR}/cmake/embed.cmake)
  target_sources(nnc_${library} PRIVATE ${text_c})
endfunction()
nnc_embed(frontend frontend/prelude.nn prelude_text)
nnc_embed(codegen codegen/cuda/prelude.cu cuda_prelude)

if(EXISTS ${CMAKE_SOURCE_DIR}/command/main/nnc.c)
  add_executable(nnc command/main/nnc.c)
  target_link_libraries(nnc PRIVATE nnc_command)
  # A model for CUDA that is loaded into nnc (model.so) calls the runtime's functions there.
  target_link_options(nnc PRIVATE "-Wl,--export-dynamic-symbol=nn_cuda_*")
  include(install)
  include(NncAddModel)
  if(EXISTS ${CMAKE_SOURCE_DIR}/models/apps/CMakeLists.txt)
    add_subdirectory(models/apps)
  endif()
endif()
