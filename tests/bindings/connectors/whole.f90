! A program without carbontracker.
program whole
   implicit none
   integer :: n
   real(kind(1d0)) :: total
   total = 0
   do n = 1, 60000000
      total = total + 1/real(n, kind(1d0))
   end do
   print '(a, f0.6)', 'worked ', total
   stop 7
end program whole
