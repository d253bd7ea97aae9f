! Two ranks that track one nap, as a program that says `use mpi_f08`; rank 0 prints the run's mean power and its report.
program ranks
   use, intrinsic :: iso_c_binding, only: c_char, c_double, c_int32_t, c_null_char, c_null_ptr, c_ptr
   use mpi_f08
   use carbontracker_mpi_f08, only: ct_mpi_value, ct_mpi_report
   implicit none
   interface
      integer(c_int32_t) function ct_create(options, handle) bind(c)
         import :: c_char, c_int32_t, c_ptr
         character(kind=c_char), intent(in) :: options(*)
         type(c_ptr), intent(inout) :: handle
      end function ct_create
      integer(c_int32_t) function ct_epoch_begin(handle) bind(c)
         import :: c_int32_t, c_ptr
         type(c_ptr), value :: handle
      end function ct_epoch_begin
      integer(c_int32_t) function ct_epoch_end(handle) bind(c)
         import :: c_int32_t, c_ptr
         type(c_ptr), value :: handle
      end function ct_epoch_end
   end interface
   type(c_ptr) :: handle, none
   character(:), allocatable :: text
   real(c_double) :: joules, seconds, start
   integer :: me, stat, missing, error
   handle = c_null_ptr
   none = c_null_ptr
   joules = -1
   seconds = -1
   missing = -1
   call MPI_Init(error)
   call MPI_Comm_rank(MPI_COMM_WORLD, me, error)
   call check(int(ct_create(c_null_char, handle)), 0, 'create')
   call check(int(ct_epoch_begin(handle)), 0, 'begin')
   start = MPI_Wtime()
   do while (MPI_Wtime() < start + 0.3d0)
   end do
   call check(int(ct_epoch_end(handle)), 0, 'end')

   call ct_mpi_value(none, MPI_COMM_WORLD, '/usage/energy_j', joules, stat, missing)
   call check(stat, 1, 'no tracker')
   call ct_mpi_value(handle, MPI_COMM_WORLD, '/usage/coverage', joules, stat, missing)
   call check(stat, -1, 'no sum')
   if (joules > -1 .or. missing /= -1) call check(0, 1, 'a failure wrote a number')
   call ct_mpi_value(handle, MPI_COMM_WORLD, '/usage/energy_j', joules, stat, missing)
   call check(stat, 0, 'energy')
   call check(missing, 0, 'missing')
   call ct_mpi_value(handle, MPI_COMM_WORLD, '/usage/duration_s', seconds, stat)
   call check(stat, 0, 'duration')
   call ct_mpi_report(handle, MPI_COMM_WORLD, text, stat)
   call check(stat, 0, 'report')
   if (me == 0) then
      print '(a, f0.3, a)', '0 watts 0 ', joules/seconds, ' 0'
      print '(a)', text
   else
      call check(len(text), 0, 'the text of another rank')
   end if
   call MPI_Finalize(error)

contains

   subroutine check(actual, expected, what)
      integer, intent(in) :: actual, expected
      character(*), intent(in) :: what
      if (actual == expected) return
      print '(3a, i0, a, i0)', 'wrong: ', what, ' is ', actual, ', not ', expected
      error stop
   end subroutine check
end program ranks
