!> carbontracker over MPI for programs that `use mpi_f08`: the procedures of the module carbontracker_mpi with a
!> communicator of type(MPI_Comm). That module documents them.
module carbontracker_mpi_f08
   use, intrinsic :: iso_c_binding, only: c_double, c_ptr
   use mpi_f08, only: MPI_Comm
   use carbontracker_mpi, only: value_over => ct_mpi_value, report_over => ct_mpi_report
   implicit none
   private
   public :: ct_mpi_value, ct_mpi_report

contains

   !> One number of the whole run; see carbontracker_mpi.
   subroutine ct_mpi_value(tracker, comm, pointer, value, stat, missing)
      type(c_ptr), intent(in) :: tracker
      type(MPI_Comm), intent(in) :: comm
      character(*), intent(in) :: pointer
      real(c_double), intent(inout) :: value
      integer, intent(out) :: stat
      integer, intent(inout), optional :: missing
      call value_over(tracker, comm%mpi_val, pointer, value, stat, missing)
   end subroutine ct_mpi_value

   !> A few lines about the whole run, at rank 0; see carbontracker_mpi.
   subroutine ct_mpi_report(tracker, comm, text, stat)
      type(c_ptr), intent(in) :: tracker
      type(MPI_Comm), intent(in) :: comm
      character(:), allocatable, intent(out) :: text
      integer, intent(out) :: stat
      call report_over(tracker, comm%mpi_val, text, stat)
   end subroutine ct_mpi_report

end module carbontracker_mpi_f08
