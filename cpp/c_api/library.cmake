# libcarousel, the library for C, with what others need to find it. `kernels` is the list of their
# objects.
find_package(nlohmann_json 3.10 REQUIRED)
find_package(PkgConfig REQUIRED)
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
# Unicode's tables; without them the library reads and predicts tokens, but cuts no text into them.
pkg_check_modules(UTF8PROC IMPORTED_TARGET libutf8proc)

file(STRINGS pyproject.toml version REGEX "^version = ")
string(REGEX MATCH "[0-9.]+" version "${version}")
string(REGEX MATCH "^[0-9]+[.][0-9]+" interface "${version}")

add_library(c_api OBJECT
  cpp/c_api/carousel.cpp cpp/c_api/config.cpp cpp/c_api/mapped_file.cpp
  cpp/c_api/model_folder.cpp cpp/c_api/next_words.cpp cpp/c_api/strict_json.cpp
  cpp/c_api/tokenizer.cpp cpp/c_api/unicode.cpp cpp/c_api/weights_file.cpp cpp/c_api/words.cpp)
target_include_directories(c_api PRIVATE cpp/include)
target_compile_definitions(c_api PRIVATE "CAROUSEL_VERSION=\"${version}\"")
target_compile_options(c_api PRIVATE -Wall -Wextra -fvisibility-inlines-hidden)
target_link_libraries(c_api PRIVATE nlohmann_json::nlohmann_json)
set(libraries engine Threads::Threads)
if(UTF8PROC_FOUND)
  target_compile_definitions(c_api PRIVATE CAROUSEL_UTF8PROC)
  target_link_libraries(c_api PRIVATE PkgConfig::UTF8PROC)
  list(APPEND libraries PkgConfig::UTF8PROC)
else()
  message(WARNING "no libutf8proc: the library for C will not cut text into tokens")
endif()
# One function of it, SHA256; without it a folder whose files are of two models is not noticed.
pkg_check_modules(LIBCRYPTO IMPORTED_TARGET libcrypto)
if(LIBCRYPTO_FOUND)
  target_compile_definitions(c_api PRIVATE CAROUSEL_LIBCRYPTO)
  target_link_libraries(c_api PRIVATE PkgConfig::LIBCRYPTO)
  list(APPEND libraries PkgConfig::LIBCRYPTO)
else()
  message(WARNING "no libcrypto: the library for C will not check the hashes of a folder's files")
endif()

if(CAROUSEL_FUZZ)
  add_executable(fuzz_folder cpp/tests/fuzz_folder.cpp $<TARGET_OBJECTS:c_api> ${kernels})
  target_include_directories(fuzz_folder PRIVATE cpp/include)
  target_link_libraries(fuzz_folder PRIVATE ${libraries})
  target_link_options(fuzz_folder PRIVATE -fsanitize=fuzzer)
endif()

add_library(carousel SHARED $<TARGET_OBJECTS:c_api> ${kernels})
set_target_properties(carousel PROPERTIES VERSION ${version} SOVERSION ${interface}
                      PUBLIC_HEADER cpp/include/carousel.h)
target_link_libraries(carousel PRIVATE ${libraries})
target_include_directories(carousel INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

install(TARGETS carousel EXPORT carousel-targets)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/carousel)
install(EXPORT carousel-targets NAMESPACE carousel:: FILE carousel-config.cmake
        DESTINATION ${package})
write_basic_package_version_file(carousel-config-version.cmake VERSION ${version}
                                 COMPATIBILITY SameMinorVersion)
set(pkgconfig ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
# From where carousel.pc lies to the prefix, so that an installed folder can be moved.
file(RELATIVE_PATH to_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cpp/c_api/carousel.pc.in carousel.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/carousel-config-version.cmake DESTINATION ${package})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/carousel.pc DESTINATION ${pkgconfig})
