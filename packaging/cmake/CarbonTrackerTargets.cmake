# The targets, the same for the installed package and for a build from source. The caller sets
#   _ct_include           the folders of the headers
#   _ct_shared _ct_static the libraries
#   _ct_fortran _ct_mpi   the folders of the sources of the Fortran module and of the MPI modules
#   _ct_scope             GLOBAL, or nothing

add_library(CarbonTracker::shared SHARED IMPORTED ${_ct_scope})
set_target_properties(CarbonTracker::shared PROPERTIES
  IMPORTED_LOCATION "${_ct_shared}"
  IMPORTED_SONAME libcarbontracker.so.0
  INTERFACE_INCLUDE_DIRECTORIES "${_ct_include}")

# The threads library is given by name: FindThreads needs C or C++, and a Fortran project may have neither.
add_library(CarbonTracker::static STATIC IMPORTED ${_ct_scope})
set_target_properties(CarbonTracker::static PROPERTIES
  IMPORTED_LOCATION "${_ct_static}"
  INTERFACE_INCLUDE_DIRECTORIES "${_ct_include}"
  INTERFACE_LINK_LIBRARIES "util;rt;pthread;m;dl")

# COMPONENTS chooses the library, otherwise BUILD_SHARED_LIBS; the default is shared.
set(_ct_kind shared)
if("static" IN_LIST CarbonTracker_FIND_COMPONENTS OR (DEFINED BUILD_SHARED_LIBS AND NOT BUILD_SHARED_LIBS))
  set(_ct_kind static)
endif()
if("shared" IN_LIST CarbonTracker_FIND_COMPONENTS)
  set(_ct_kind shared)
endif()
add_library(CarbonTracker::CarbonTracker INTERFACE IMPORTED ${_ct_scope})
set_target_properties(CarbonTracker::CarbonTracker PROPERTIES INTERFACE_LINK_LIBRARIES CarbonTracker::${_ct_kind})

# carbontracker.hpp is a header only and needs C++11.
add_library(CarbonTracker::CXX INTERFACE IMPORTED ${_ct_scope})
set_target_properties(CarbonTracker::CXX PROPERTIES
  INTERFACE_COMPILE_FEATURES cxx_std_11
  INTERFACE_LINK_LIBRARIES CarbonTracker::CarbonTracker)

# Module files differ between compilers, so a module is built in the user's build, if a target links it.
function(_ct_add_module name target)
  set(modules "${CMAKE_CURRENT_BINARY_DIR}/${target}")
  add_library(${target} STATIC EXCLUDE_FROM_ALL ${ARGN})
  set_target_properties(${target} PROPERTIES Fortran_MODULE_DIRECTORY "${modules}" POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${target} INTERFACE "${modules}")
  target_link_libraries(${target} PUBLIC CarbonTracker::CarbonTracker)
  add_library(CarbonTracker::${name} ALIAS ${target})
endfunction()

get_property(_ct_languages GLOBAL PROPERTY ENABLED_LANGUAGES)
if("Fortran" IN_LIST _ct_languages AND EXISTS "${_ct_fortran}/carbontracker.f90" AND NOT TARGET CarbonTracker::Fortran)
  _ct_add_module(Fortran carbontracker_fortran "${_ct_fortran}/carbontracker.f90")
endif()
if(TARGET MPI::MPI_C AND TARGET MPI::MPI_Fortran AND EXISTS "${_ct_mpi}/carbontracker_mpi.f90"
    AND NOT TARGET CarbonTracker::MPI_Fortran)
  _ct_add_module(MPI_Fortran carbontracker_mpi_fortran
    "${_ct_mpi}/carbontracker_mpi.c" "${_ct_mpi}/carbontracker_mpi.f90")
  if(MPI_Fortran_HAVE_F08_MODULE)
    target_sources(carbontracker_mpi_fortran PRIVATE "${_ct_mpi}/carbontracker_mpi_f08.f90")
  endif()
  target_link_libraries(carbontracker_mpi_fortran PUBLIC MPI::MPI_C MPI::MPI_Fortran)
endif()
