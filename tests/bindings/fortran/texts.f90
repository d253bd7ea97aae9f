! Texts that are longer than the first buffer arrive whole; messages are read until none is left.
program texts
   use, intrinsic :: iso_fortran_env, only: int64, real64
   use carbontracker
   use check
   implicit none
   integer, parameter :: epochs = 3000
   type(tracker) :: run
   character(:), allocatable :: text
   character(len=20000) :: label
   integer :: i, count, stat

   label = repeat('n', len(label))
   call run%start('sim_cpu=x:100 epochs=4000'//option('name', label))
   do i = 1, epochs
      call run%epoch_begin()
      call run%epoch_end()
   end do
   text = run%report('json')
   call that(len(text) > 100*epochs, 'every epoch is there')
   call that(index(text, repeat('n', len(label))) > 0, 'the whole name is there')
   call that(text(len(text):) == '}', 'up to the end')
   text = run%report('csv')
   count = 0
   do i = 1, len(text)
      if (text(i:i) == new_line(text)) count = count + 1
   end do
   call same(count, epochs, 'newlines of a heading and a row an epoch, the last left to PRINT')
   text = run%report()
   call that(index(text, repeat('n', len(label))//': 3000 of 4000 epochs') == 1, 'the text')
   call that(index(text, achar(0)) == 0, 'without the NUL')

   text = run%text('/run/name')
   call that(text == label, 'the name by its pointer')
   text = run%text('/components')
   call that(text(:2) == '[{' .and. text(len(text):) == ']', text)
   call same(nint(run%value('/epochs/length')), epochs, 'the number of epochs in the list')

   count = 0
   do while (run%message(text, stat))
      call same(stat, ct_ok, 'stat')
      call that(len(text) > 10, text)
      count = count + 1
   end do
   call same(stat, ct_ok, 'stat where no message is left')
   call that(len(text) == 0, 'no text then')
   call that(count > 0, 'there were messages')
   call that(.not. run%message(text), 'no message is left')
   call run%stop()
   print '(a)', 'passed'
end program texts
