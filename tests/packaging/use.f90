! Does the same as use.c, through the module.
program use_fortran
   use carbontracker, only: ct_version, tracker
   implicit none
   type(tracker) :: run
   integer :: i
   real :: sum
   call run%start('sim_cpu=x:100 components=cpu')
   call run%epoch_begin()
   sum = 0
   do i = 1, 10000000
      sum = sum + 1.0/i
   end do
   call run%epoch_end()
   print '(a,1x,f0.1,a)', ct_version(), run%value('/usage/energy_j')/run%value('/usage/duration_s'), ' W'
   call run%stop()
   if (sum < 0) stop 1
end program use_fortran
