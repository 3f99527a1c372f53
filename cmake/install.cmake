# What `cmake --install` puts down: the program, the library for users' programs, CMake's and pkg-config's files,
# the man page and bash's completion.
include(GNUInstallDirs)
file(RELATIVE_PATH NNC_PREFIX_FROM_CMAKE /p/${CMAKE_INSTALL_LIBDIR}/cmake/nnc /p)
configure_file(${CMAKE_SOURCE_DIR}/cmake/nncConfig.cmake.in ${CMAKE_BINARY_DIR}/nncConfig.cmake @ONLY)
file(RELATIVE_PATH NNC_PREFIX_FROM_PC /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
configure_file(${CMAKE_SOURCE_DIR}/cmake/nnc.pc.in ${CMAKE_BINARY_DIR}/nnc.pc @ONLY)
set_target_properties(nnc_runtime PROPERTIES OUTPUT_NAME nn)
install(TARGETS nnc nnc_runtime RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES runtime/nn.h runtime/cuda.h runtime/pool.h runtime/checkpoint.h DESTINATION include/nnc)
install(FILES ${CMAKE_BINARY_DIR}/nncConfig.cmake cmake/NncAddModel.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nnc)
install(FILES ${CMAKE_BINARY_DIR}/nnc.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${CMAKE_SOURCE_DIR}/docs/nnc.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${CMAKE_SOURCE_DIR}/completions/nnc.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
        RENAME nnc)
