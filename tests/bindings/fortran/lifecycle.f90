! A run from start to stop; calls in a wrong order, on a disabled tracker, and over budget.
program lifecycle
   use, intrinsic :: iso_c_binding, only: c_associated
   use, intrinsic :: iso_fortran_env, only: int32, int64, real64
   use carbontracker
   use check
   implicit none
   type(tracker), save :: run
   real(real64) :: energy, duration
   integer :: epoch, stat
   character(:), allocatable :: text

   call disabled(run)

   call run%start('epochs=4 name=life sim_cpu=x:100')
   do epoch = 1, 3
      call run%epoch_begin()
      call work(0.02_real64)
      call run%progress(1, 2)
      call run%progress(2_int32, 2_int32)
      call run%progress(2_int64, 2_int64)
      call run%progress(2_int64, 2)
      call run%progress(2, 2_int64)
      call run%run_progress(0.25_real64*epoch, 1.0_real64)
      call run%epoch_end()
   end do
   energy = run%value('/usage/epochs/energy_j')
   duration = run%value('/usage/epochs/duration_s  ', stat=stat)
   call same(stat, ct_ok, 'stat of a known value')
   call that(duration >= 0.06_real64, 'three epochs of 0.02 s')
   call near(energy, 100*duration, 'energy')
   call near(run%value('/run/epochs_done'), 3.0_real64, 'epochs done')
   call near(run%value('/run/work/done'), 0.75_real64, 'work done')
   call that(run%value('/forecast/energy_j/value') > energy, 'a fourth epoch is forecast')
   call that(run%value('/epochs/2/duration_s') >= 0.02_real64, 'the third epoch')

   text = run%report()
   call that(index(text, 'life: 3 of 4 epochs') == 1, 'report: '//text)
   call that(text(len(text):) /= new_line(text), 'PRINT adds the last newline')
   text = run%report('csv')
   call that(index(text, 'index,') == 1, 'csv: '//text)
   call that(index(run%report('json  '), '"schema"') > 0, 'json')

   call that(c_associated(run%handle()), 'a handle')
   call phases(run)
   call cancelled(run)
   call stop_and_restart(run)
   call looped(run)
   call over_budget(run)
   call disabled(run)
   text = ct_version()
   call that(scan(text, '.') > 1 .and. verify(text, '0123456789.') == 0, 'version '//text)
   call threads_become(1, 'at the end')
   print '(a)', 'passed'

contains

   subroutine disabled(run)
      type(tracker), intent(in) :: run
      character(:), allocatable :: text
      character(80) :: why
      integer :: stat, epoch, rounds
      call run%epoch_begin()
      call run%epoch_begin(stat, why)
      call same(stat, ct_disabled, 'stat')
      call that(len_trim(why) > 0 .and. why /= 'untouched', why)
      call run%phase_begin('any')
      call run%phase_end()
      call run%phase_end(stat, why)
      call same(stat, ct_disabled, 'stat')
      call run%progress(7, 3)
      call run%epoch_end()
      call run%epoch_cancel()
      call near(run%value('/usage/energy_j'), -1.0_real64, 'unknown')
      call near(run%value('/usage/energy_j', default=-2.0_real64, stat=stat), -2.0_real64, 'unknown')
      call same(stat, ct_disabled, 'stat')
      call same(len(run%report()), 0, 'length of a report')
      call same(len(run%report('json')), 0, 'length of a report')
      call that(.not. run%message(text), 'no message')
      call that(allocated(text), 'text')
      call that(.not. c_associated(run%handle()), 'no handle')
      epoch = 0
      rounds = 0
      do while (run%next_epoch(epoch, 3))
         rounds = rounds + 1
      end do
      call same(rounds, 3, 'rounds')
   end subroutine disabled

   subroutine phases(run)
      type(tracker), intent(in) :: run
      character(20) :: name
      real(real64) :: seconds
      integer :: n
      name = 'two words'
      call run%phase_begin('step')
      do n = 1, 3
         call run%phase_begin(name)
         call work(0.02_real64)
         call run%phase_end()
      end do
      call run%phase_end()
      seconds = run%value('/phases/rows/step/duration_s')
      call that(seconds >= 0.06_real64, 'three phases of 0.02 s')
      call that(abs(run%value('/phases/rows/step/energy_j') - 100*seconds) < 10*seconds, 'energy of a phase')
      call that(run%value('/phases/rows/step/own/duration_s') < 0.5_real64*seconds, 'the phase without those within it')
      call near(run%value('/phases/rows/step~1two words/entries'), 3.0_real64, 'entries')
      call near(run%value('/phases/rows/stop/entries'), -1.0_real64, 'no such phase')
   end subroutine phases

   subroutine cancelled(run)
      type(tracker), intent(in) :: run
      real(real64) :: done
      call run%epoch_begin()
      call run%epoch_cancel()
      done = run%value('/run/epochs_done')
      call near(done, 3.0_real64, 'epochs after one that was cancelled')
   end subroutine cancelled

   subroutine stop_and_restart(run)
      type(tracker), intent(inout) :: run
      call threads_become(3, 'of one run')
      call run%stop()
      call run%stop()
      call threads_become(1, 'after stop')
      call run%start('sim_cpu=x:100')
      call run%start('sim_cpu=x:100')
      call threads_become(3, 'of a run started over another')
      call near(run%value('/usage/energy_j'), -1.0_real64, 'energy before the first epoch')
   end subroutine stop_and_restart

   subroutine looped(run)
      type(tracker), intent(inout) :: run
      integer :: epoch, stat, rounds
      call run%start('epochs=3 sim_cpu=x:100')
      epoch = 0
      rounds = 0
      do while (run%next_epoch(epoch, 3, stat))
         call same(stat, ct_ok, 'stat')
         rounds = rounds + 1
         call same(epoch, rounds, 'epoch')
         if (epoch == 2) cycle
         call work(0.002_real64)
      end do
      call same(rounds, 3, 'rounds')
      call near(run%value('/run/epochs_done'), 3.0_real64, 'epochs done')
   end subroutine looped

   subroutine over_budget(run)
      type(tracker), intent(inout) :: run
      integer :: stat, i
      character(80) :: why
      logical :: is_over
      call run%start('sim_cpu=x:100 budget_h=1e-9')
      is_over = .false.
      do i = 1, 10000
         why = 'untouched'
         call run%epoch_begin(stat, why)
         call same(stat, ct_ok, 'stat')
         call that(why == 'untouched', 'success does not change errmsg')
         call work(0.005_real64)
         call run%epoch_end(stat, why)
         is_over = stat == ct_over_budget
         if (is_over) exit
      end do
      call that(is_over, 'over budget')
      call that(index(why, 'budget') > 0, why)
      call run%stop()
   end subroutine over_budget

end program lifecycle
