! As restart.c, in Fortran.
program restart
   use, intrinsic :: iso_c_binding, only: c_double, c_int
   use mpi_f08
   use carbontracker, only: tracker
   use carbontracker_mpi_f08, only: ct_mpi_value
   implicit none
   interface
      integer(c_int) function raise(signal) bind(c)
         import :: c_int
         integer(c_int), value :: signal
      end function raise
   end interface
   type(tracker) :: run
   type(MPI_Comm) :: comm
   real(c_double) :: first, least
   integer :: me, killed, after, epoch, epochs, counted, stat, missing, error
   character(300) :: options, number
   logical :: has_begun = .false.
   epochs = 8
   comm = MPI_COMM_WORLD
   call MPI_Init(error)
   call MPI_Comm_rank(comm, me, error)
   call get_command_argument(1, options)
   call get_command_argument(2, number)
   read (number, *) killed
   call get_command_argument(3, number)
   read (number, *) after
   call run%start(trim(options))
   include 'loop.inc'
   missing = -1
   call ct_mpi_value(run%handle(), comm, '/run/epochs_done', least, stat, missing)
   if (stat /= 0 .or. missing /= 0) error stop
   print '(5(a, i0))', 'rank ', me, ' ends, has ', nint(run%value('/run/epochs_done')), ' of ', epochs, ', the run ', nint(least)
   call run%stop()
   call MPI_Finalize(error)

contains

   ! Epochs count from 1 here.
   subroutine advance(epoch)
      integer, intent(in) :: epoch
      if (.not. has_begun) then
         print '(3(a, i0))', 'rank ', me, ' begins with ', epoch - 1, ', has ', nint(run%value('/run/epochs_done'))
         flush (6)
      end if
      has_begun = .true.
      if (me == killed .and. epoch == after + 1) then
         call nap(0.05d0)
         error = raise(9_c_int)
      end if
      call MPI_Barrier(comm, error)
      call nap(0.1d0)
      if (killed >= 0 .and. me /= killed .and. epoch == after) call nap(60d0)
   end subroutine advance

   subroutine nap(seconds)
      real(c_double), intent(in) :: seconds
      real(c_double) :: start
      start = MPI_Wtime()
      do while (MPI_Wtime() < start + seconds)
      end do
   end subroutine nap
end program restart
