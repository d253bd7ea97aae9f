! Many threads on one tracker, and one tracker for each thread. Without OpenMP there is only one thread.
program many_threads
   use, intrinsic :: iso_fortran_env, only: int64, real64
   use carbontracker
   use check
   implicit none
   type(tracker), save :: run
   integer :: i, stat, begun, ended

   call run%start('sim_cpu=x:100')
   begun = 0
   ended = 0
   !$omp parallel do num_threads(8) private(stat) reduction(+:begun, ended)
   do i = 1, 4000
      call run%epoch_begin(stat)
      if (stat == ct_ok) begun = begun + 1
      call run%progress(i, 4000, stat)
      call run%epoch_end(stat)
      if (stat == ct_ok) ended = ended + 1
      if (mod(i, 500) == 0) call that(run%value('/usage/energy_j') > -2, 'a value')
   end do
   call same(begun, ended, 'epochs begun and ended')
   call same(nint(run%value('/run/epochs_done')), begun, 'epochs done')
   call run%stop()

   !$omp parallel do num_threads(8)
   do i = 1, 40
      call own(i)
   end do
   print '(a)', 'passed'

contains

   subroutine own(label)
      integer, intent(in) :: label
      type(tracker) :: mine
      character(200) :: why
      integer :: stat
      call mine%start('sim_cpu=x:100'//option('epochs', label))
      call near(mine%value('/run/epochs_planned'), real(label, real64), 'own tracker')
      call mine%progress(1, label, stat, why)
      call same(stat, ct_estate, 'stat')
      ! Each thread reads the reason of its own failure.
      call mine%start(option('no_such', 1)//option('pue', label), stat, why)
      call same(stat, ct_einval, 'stat')
      call that(index(why, 'no_such') > 0, why)
   end subroutine own

end program many_threads
