# Helpers that every folder's CMakeLists.txt uses, so that each is three lines long.
include(FindPkgConfig)
find_package(Threads REQUIRED)
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(macrovpn_flags INTERFACE)
target_compile_options(macrovpn_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
  -Wold-style-cast -Wimplicit-fallthrough -Werror -fno-strict-aliasing -fstack-protector-strong
  # Designated initialisers leave the rest at its default on purpose.
  -Wno-missing-field-initializers
  # libstdc++ 12 itself uses what C++17 deprecates, in std::stable_sort.
  $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations>
  # GCC 12 warns wrongly, in inlined code of its own library: of uninitialised members inside std::variant and
  # std::optional that are never read, and of writes past the end of a vector that has just grown.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;-Wno-array-bounds;-Wno-stringop-overflow>)
target_include_directories(macrovpn_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(macrovpn_flags INTERFACE Threads::Threads)
if(MACROVPN_SANITIZE)
  target_compile_options(macrovpn_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all
    -fno-omit-frame-pointer)
  target_link_options(macrovpn_flags INTERFACE -fsanitize=address,undefined)
endif()

# macrovpn_library(NAME DEPS...): one library per folder, of every *.cpp in it that is not a test, and
# the test program NAME_test of every *_test.cpp beside them.
function(macrovpn_library name)
  file(GLOB sources CONFIGURE_DEPENDS *.cpp)
  file(GLOB tests CONFIGURE_DEPENDS *_test.cpp)
  if(tests)
    list(REMOVE_ITEM sources ${tests})
  endif()
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC macrovpn_flags ${ARGN})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE macrovpn_flags ${ARGN})
  endif()
  if(tests AND NOT MACROVPN_FUZZ)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE ${name} macrovpn_testing)
    add_test(NAME ${name} COMMAND ${name}_test)
  endif()
endfunction()

if(NOT MACROVPN_FUZZ)
  find_package(GTest REQUIRED)
  add_library(macrovpn_testing INTERFACE)
  target_link_libraries(macrovpn_testing INTERFACE GTest::gtest GTest::gtest_main)
endif()
