! As pairs.c, with the Fortran module.
program pairs
   use, intrinsic :: iso_fortran_env, only: int64, real64
   use carbontracker, only: tracker
   implicit none
   type(tracker) :: run
   real(real64) :: ns
   call run%start('sim_cpu=bench:100')
   ns = cost(100000)
   ns = cost(1000000)
   print '(f0.1)', ns
   call run%stop()
contains
   real(real64) function cost(count)
      integer, intent(in) :: count
      integer(int64) :: start, end, rate
      integer :: n
      call system_clock(start, rate)
      do n = 1, count
         call run%epoch_begin()
         call run%epoch_end()
      end do
      call system_clock(end)
      cost = 1e9_real64*real(end - start, real64)/real(rate, real64)/(2*count)
   end function cost
end program pairs
