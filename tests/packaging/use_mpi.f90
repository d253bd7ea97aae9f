! Does the same as use_mpi.c, in Fortran.
program use_mpi_fortran
   use, intrinsic :: iso_c_binding, only: c_double, c_null_ptr
   use mpi_f08
   use carbontracker_mpi_f08, only: ct_mpi_value
   implicit none
   integer :: status
   real(c_double) :: joules
   call MPI_Init()
   call ct_mpi_value(c_null_ptr, MPI_COMM_WORLD, '/usage/energy_j', joules, status)
   call MPI_Finalize()
end program use_mpi_fortran
