! Failures: with stat and errmsg the program gets the reason. Without stat each failure prints a line on standard
! error, in this order, and the program continues.
program errors
   use, intrinsic :: iso_fortran_env, only: error_unit, real64
   use carbontracker
   use check
   implicit none
   type(tracker) :: run
   integer :: stat
   character(400) :: why
   character(12) :: short
   character(:), allocatable :: text

   call run%start('epoch=3', stat, why)
   call same(stat, ct_einval, 'stat')
   call that(index(why, "unknown option 'epoch'") > 0 .and. index(why, 'did you mean epochs?') > 0, why)
   call run%start('pue=half', stat=stat, errmsg=short)
   call that(short == "pue='half': ", short)
   call run%epoch_begin(stat)
   call same(stat, ct_disabled, 'stat of what could not start')

   call run%start('sim_cpu=x:100', stat)
   call same(stat, ct_ok, 'stat')
   call run%epoch_end(stat, why)
   call same(stat, ct_estate, 'stat of an end without a begin')
   call run%epoch_begin()
   call run%epoch_begin(stat, why)
   call same(stat, ct_estate, 'stat of a second begin')
   call that(len_trim(why) > 10, why)
   call run%phase_end(stat, why)
   call same(stat, ct_estate, 'stat of an end of no phase')
   call that(index(why, 'ct_phase_end: no phase is open') == 1, why)
   call run%phase_begin('   ', stat, why)
   call same(stat, ct_einval, 'stat of a phase without a name')
   call that(index(why, 'ct_phase_begin: the name has 0 bytes') == 1, why)
   call run%phase_begin(repeat('n', 129), stat)
   call same(stat, ct_einval, 'stat of a phase with a long name')
   call run%phase_begin(char(255), stat)
   call same(stat, ct_einval, 'stat of a phase whose name is not UTF-8')
   call run%progress(3, 2, stat, why)
   call same(stat, ct_einval, 'stat of 3 of 2')
   call run%progress(0, 0, stat)
   call same(stat, ct_einval, 'stat of 0 of 0')
   call run%progress(-1, 2, stat)
   call same(stat, ct_einval, 'stat of -1 of 2')
   call run%progress(1, -2, stat)
   call same(stat, ct_einval, 'stat of 1 of -2')
   call run%run_progress(-1.0_real64, 2.0_real64, stat, why)
   call same(stat, ct_einval, 'stat of a run at -1 of 2')
   call that(index(why, 'ct_run_progress') > 0, why)
   call near(run%value('/usage/enrgy_j', stat=stat, errmsg=why), -1.0_real64, 'no such number')
   call same(stat, ct_einval, 'stat')
   call that(index(why, 'did you mean /usage/energy_j?') > 0, why)
   call near(run%value('/forecast/energy_j/value'), -1.0_real64, 'unknown')
   call near(run%value('/forecast/energy_j/value', stat=stat), -1.0_real64, 'unknown')
   call same(stat, ct_enoent, 'stat')
   text = run%text('/run/nane', stat, why)
   call same(stat, ct_einval, 'stat of a text')
   call that(len(text) == 0 .and. index(why, 'did you mean /run/name?') > 0, why)
   text = run%text('/run/job', stat)
   call same(stat, ct_enoent, 'stat of an unknown text')
   call that(len(text) == 0 .and. len(run%text('/run/job')) == 0, text)
   text = run%report('txet', stat, why)
   call same(stat, ct_einval, 'stat of an unknown format')
   call that(len(text) == 0 .and. index(why, 'txet') > 0, why)
   call run%epoch_cancel()
   call run%epoch_cancel(stat)
   call same(stat, ct_estate, 'stat of a second cancel')
   call run%start('name='//char(255), stat)
   call same(stat, ct_einval, 'stat of what is not UTF-8')
   call run%start('sim_cpu=x:100')

   ! From here on, failures go to standard error.
   call run%epoch_end()
   call run%epoch_end(errmsg=why)
   call run%phase_end()
   call that(len_trim(why) > 10, why)
   ! A failure inside a WRITE to the same unit.
   write (error_unit, '(3a)') '[', run%report('txet'), ']'
   call run%start('epoch=3')
   call run%epoch_begin()
   call run%stop()
   print '(a)', 'passed'
end program errors
