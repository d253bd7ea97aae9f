! Shared by the test programs: checks that end the program, and the number of its threads.
module check
   use, intrinsic :: iso_fortran_env, only: error_unit, real64
   implicit none
   private
   public :: that, same, near, threads, threads_become, work

contains

   subroutine that(holds, what)
      logical, intent(in) :: holds
      character(*), intent(in) :: what
      if (holds) return
      write (error_unit, '(2a)') 'does not hold: ', what
      error stop 1
   end subroutine that

   subroutine same(actual, expected, what)
      integer, intent(in) :: actual, expected
      character(*), intent(in) :: what
      if (actual == expected) return
      write (error_unit, '(2a,i0,a,i0)') what, ' is ', actual, ', not ', expected
      error stop 1
   end subroutine same

   subroutine near(actual, expected, what)
      real(real64), intent(in) :: actual, expected
      character(*), intent(in) :: what
      if (abs(actual - expected) <= 1e-6_real64*abs(expected)) return
      write (error_unit, '(2a,es23.15,a,es23.15)') what, ' is ', actual, ', not ', expected
      error stop 1
   end subroutine near

   integer function threads()
      character(80) :: line
      integer :: file, failed
      threads = -1
      open (newunit=file, file='/proc/self/status', action='read')
      do
         read (file, '(a)', iostat=failed) line
         if (failed /= 0) exit
         if (line(1:8) == 'Threads:') read (line(9:), *) threads
      end do
      close (file)
   end function threads

   ! The kernel may list a joined thread for a moment longer.
   subroutine threads_become(expected, what)
      integer, intent(in) :: expected
      character(*), intent(in) :: what
      integer :: i
      do i = 1, 1000
         if (threads() == expected) return
         call work(0.002_real64)
      end do
      call same(threads(), expected, 'number of threads '//what)
   end subroutine threads_become

   ! Computes for this time, as an epoch does.
   subroutine work(seconds)
      real(real64), intent(in) :: seconds
      integer, parameter :: clock = selected_int_kind(18)
      integer(clock) :: first, now, rate
      call system_clock(first, rate)
      do
         call system_clock(now)
         if (real(now - first, real64) >= seconds*real(rate, real64)) exit
      end do
   end subroutine work

end module check
