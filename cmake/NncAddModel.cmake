# nnc_add_model(target model.nn [NAME name] [OPTIONS flag ...])
#
# Compiles a model with nnc at build time and gives it to a target: the object is linked, and the model's header
# (#include "name.h") is on the target's include path. NAME is the header's base name, by default the file's.
function(nnc_add_model target model)
  cmake_parse_arguments(PARSE_ARGV 2 NNC_MODEL "" "NAME" "OPTIONS")
  get_filename_component(source "${model}" ABSOLUTE)
  if(NOT NNC_MODEL_NAME)
    get_filename_component(NNC_MODEL_NAME "${model}" NAME_WE)
  endif()
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/${target}.models")
  file(MAKE_DIRECTORY "${folder}")
  set(object "${folder}/${NNC_MODEL_NAME}.o")
  set(header "${folder}/${NNC_MODEL_NAME}.h")
  if(TARGET nnc)
    set(program nnc)
  else()
    set(program nnc::nnc)
  endif()
  add_custom_command(OUTPUT "${object}" "${header}"
    COMMAND ${program} "${source}" -o "${object}" ${NNC_MODEL_OPTIONS}
    DEPENDS "${source}" ${program} VERBATIM
    COMMENT "nnc ${NNC_MODEL_NAME}")
  target_sources(${target} PRIVATE "${object}" "${header}")
  set_source_files_properties("${object}" PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
  target_include_directories(${target} PRIVATE "${folder}")
endfunction()
