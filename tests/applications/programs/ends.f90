! A program that ends without stopping its run: by END, STOP or ERROR STOP, and one of FORTRAN 77's entries.
program ends
   use carbontracker, only: tracker
   implicit none
   type(tracker) :: run
   character(200) :: options
   character(20) :: way
   integer :: n, ierr

   call get_command_argument(1, way)
   call get_environment_variable('CT_OPTIONS', options)
   if (way == 'entries') then
      call ctinit(0, ierr)
   else
      call run%start(trim(options))
   end if
   do n = 1, 2
      if (way == 'entries') then
         call ctebeg(ierr)
      else
         call run%epoch_begin()
      end if
      call rest()
      if (way == 'entries') then
         call cteend(ierr)
      else
         call run%epoch_end()
      end if
   end do
   if (way == 'stop') stop
   if (way == 'stop-3') stop 3
   if (way == 'error-stop') error stop 4

contains

   ! About 30 ms.
   subroutine rest()
      use, intrinsic :: iso_fortran_env, only: int64
      integer(int64) :: began, now, rate
      call system_clock(began, rate)
      now = began
      do while (now - began < rate*3/100)
         call system_clock(now)
      end do
   end subroutine rest
end program ends
