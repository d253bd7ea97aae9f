! Two ranks that track one nap, in a program with `use mpi`; rank 0 prints the run's mean power and its report.
program ranks
   use, intrinsic :: iso_c_binding, only: c_double, c_null_ptr
   use mpi
   use carbontracker, only: tracker
   use carbontracker_mpi, only: ct_mpi_value, ct_mpi_report
   implicit none
   type(tracker) :: run
   character(:), allocatable :: text
   real(c_double) :: joules, seconds, start
   integer :: me, stat, missing, error
   joules = -1
   seconds = -1
   missing = -1
   call MPI_Init(error)
   call MPI_Comm_rank(MPI_COMM_WORLD, me, error)
   call run%start()
   call run%epoch_begin()
   start = MPI_Wtime()
   do while (MPI_Wtime() < start + 0.3d0)
   end do
   call run%epoch_end()

   call ct_mpi_value(c_null_ptr, MPI_COMM_WORLD, '/usage/energy_j', joules, stat, missing)
   call check(stat, 1, 'no tracker')
   call ct_mpi_value(run%handle(), MPI_COMM_WORLD, '/usage/coverage', joules, stat, missing)
   call check(stat, -1, 'no sum')
   if (joules > -1 .or. missing /= -1) call check(0, 1, 'a failure wrote a number')
   call ct_mpi_value(run%handle(), MPI_COMM_WORLD, '/usage/energy_j', joules, stat, missing)
   call check(stat, 0, 'energy')
   call check(missing, 0, 'missing')
   call ct_mpi_value(run%handle(), MPI_COMM_WORLD, '/usage/duration_s', seconds, stat)
   call check(stat, 0, 'duration')
   call ct_mpi_report(run%handle(), MPI_COMM_WORLD, text, stat)
   call check(stat, 0, 'report')
   if (me == 0) then
      print '(a, f0.3, a)', '0 watts 0 ', joules/seconds, ' 0'
      print '(a)', text
   else
      call check(len(text), 0, 'the length of the text on another rank')
   end if
   call run%stop()
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
