!> carbontracker over MPI for programs that `use mpi` or include mpif.h: the numbers of a whole run on every rank.
!> A program that uses `mpi_f08` takes the module carbontracker_mpi_f08 instead.
!>
!> Pass run%handle() of `type(tracker) :: run` (module carbontracker). A disabled tracker takes part, too.
!>
!> Compile it with your compiler, and carbontracker_mpi.c with your MPI's C compiler. carbontracker_mpi.h describes the
!> sums and the statuses. Both procedures are collective: every rank of `comm` calls them with the same pointer. A null
!> tracker takes part, and all ranks get the same numbers.
module carbontracker_mpi
   use, intrinsic :: iso_c_binding, only: c_char, c_double, c_int, c_int32_t, c_int64_t, c_null_char, c_ptr, c_size_t
   implicit none
   private
   public :: ct_mpi_value, ct_mpi_report

   interface
      function ct_mpi_value_f(tracker, comm, pointer, value, missing) result(stat) bind(c)
         import :: c_char, c_double, c_int, c_int32_t, c_int64_t, c_ptr
         type(c_ptr), value :: tracker
         integer(c_int64_t), value :: comm
         character(kind=c_char), intent(in) :: pointer(*)
         real(c_double), intent(inout) :: value
         integer(c_int), intent(inout) :: missing
         integer(c_int32_t) :: stat
      end function ct_mpi_value_f

      function ct_mpi_report_f(tracker, comm, buffer, capacity, needed) result(stat) bind(c)
         import :: c_char, c_int32_t, c_int64_t, c_ptr, c_size_t
         type(c_ptr), value :: tracker
         integer(c_int64_t), value :: comm
         character(kind=c_char), intent(inout) :: buffer(*)
         integer(c_size_t), value :: capacity
         integer(c_size_t), intent(inout) :: needed
         integer(c_int32_t) :: stat
      end function ct_mpi_report_f
   end interface

contains

   !> One number of the whole run, such as '/usage/energy_j'. J, kWh and g of CO2e are summed over the ranks; a duration
   !> is the maximum; '/run/epochs_done' is the minimum, with which a restarted run begins. If `stat` is not 0 (CT_OK),
   !> `value` and `missing` are unchanged.
   subroutine ct_mpi_value(tracker, comm, pointer, value, stat, missing)
      !> The tracker's C pointer, run%handle().
      type(c_ptr), intent(in) :: tracker
      integer, intent(in) :: comm
      character(*), intent(in) :: pointer
      real(c_double), intent(inout) :: value
      !> 0: done. -4 (CT_ENOENT): no rank knows the number. 1 (CT_DISABLED): no rank has a tracker.
      integer, intent(out) :: stat
      !> The number of nodes on which no rank knows the number.
      integer, intent(inout), optional :: missing
      integer(c_int) :: nodes
      nodes = 0
      stat = ct_mpi_value_f(tracker, int(comm, c_int64_t), trim(pointer)//c_null_char, value, nodes)
      if (stat == 0 .and. present(missing)) missing = nodes
   end subroutine ct_mpi_value

   !> A few lines about the whole run: ranks, nodes, time, energy, CO2e and a line per node. Rank 0 of `comm` gets the
   !> text; it is empty on the others. Lines end with new_line.
   subroutine ct_mpi_report(tracker, comm, text, stat)
      type(c_ptr), intent(in) :: tracker
      integer, intent(in) :: comm
      character(:), allocatable, intent(out) :: text
      integer, intent(out) :: stat
      integer, parameter :: CT_ERANGE = -3
      integer(c_size_t) :: needed
      needed = 1024
      do
         if (allocated(text)) deallocate (text)
         allocate (character(needed) :: text)
         text(1:1) = c_null_char
         stat = ct_mpi_report_f(tracker, int(comm, c_int64_t), text, len(text, c_size_t), needed)
         if (stat /= CT_ERANGE) exit ! all ranks have the same `stat` and `needed`
      end do
      text = text(:index(text, c_null_char) - 1)
   end subroutine ct_mpi_report

end module carbontracker_mpi
