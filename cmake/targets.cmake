# Which library knows which, the prelude as data, and the program.
function(nnc_knows name)
  get_target_property(kind nnc_${name} TYPE)
  if(kind STREQUAL "INTERFACE_LIBRARY")
    target_link_libraries(nnc_${name} INTERFACE ${ARGN})
  else()
    target_link_libraries(nnc_${name} PUBLIC ${ARGN})
  endif()
endfunction()
nnc_knows(runtime Threads::Threads)
nnc_knows(frontend nnc_ir)
nnc_knows(passes nnc_ir)
nnc_knows(codegen nnc_ir nnc_llvm)
nnc_knows(command nnc_frontend nnc_passes nnc_codegen nnc_runtime nnc_ir nnc_cjson ZLIB::ZLIB ${CMAKE_DL_LIBS})

# prelude.nn becomes a C array in nnc, so that nnc is one file.
set(PRELUDE ${CMAKE_SOURCE_DIR}/frontend/prelude.nn)
if(EXISTS ${PRELUDE})
  set(PRELUDE_C ${CMAKE_BINARY_DIR}/prelude.c)
  add_custom_command(OUTPUT ${PRELUDE_C} DEPENDS ${PRELUDE} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    COMMAND ${CMAKE_COMMAND} -DINPUT=${PRELUDE} -DOUTPUT=${PRELUDE_C} -DNAME=prelude_text -P
            ${CMAKE_SOURCE_DIR}/cmake/embed.cmake)
  get_target_property(kind nnc_frontend TYPE)
  if(NOT kind STREQUAL "INTERFACE_LIBRARY")
    target_sources(nnc_frontend PRIVATE ${PRELUDE_C})
  endif()
endif()

if(EXISTS ${CMAKE_SOURCE_DIR}/command/main/nnc.c)
  add_executable(nnc command/main/nnc.c)
  target_link_libraries(nnc PRIVATE nnc_command)
endif()
