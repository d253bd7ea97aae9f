! As player.c, with the Fortran module.
program player
   use, intrinsic :: iso_fortran_env, only: output_unit, real64
   use carbontracker, only: tracker
   implicit none
   type(tracker) :: run
   character(1024) :: options
   character(:), allocatable :: text
   character(32) :: line
   real(real64) :: energy
   integer :: ended, epoch
   call get_command_argument(1, options)
   call run%start(trim(options))
   do
      read (*, '(a)', iostat=ended) line
      if (ended /= 0 .or. line == 'quit') exit
      select case (line)
      case ('begin')
         call run%epoch_begin()
      case ('end')
         call run%epoch_end()
      case ('cancel')
         call run%epoch_cancel()
      case ('progress')
         call run%progress(7, 9)
      case ('value')
         energy = run%value('/usage/energy_j')
         write (*, '(es24.16e3)', advance='no') energy
      case ('text')
         write (*, '(a)', advance='no') run%text('/components')
      case ('rest')
         epoch = run%epochs_done()
         do while (run%next_epoch(epoch, 10))
            write (*, '(i0, 1x)', advance='no') epoch
         end do
      case ('report')
         text = run%report('json')
         write (*, '(a)', advance='no') text(:scan(text//new_line('a'), new_line('a')) - 1)
      end select
      print '(a)', ''
      flush (output_unit)
   end do
   call run%stop()
end program player
