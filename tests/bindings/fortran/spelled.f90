! The names of the entries as other compilers spell them. All three spellings use one tracker.
program spelled
   use, intrinsic :: iso_c_binding, only: c_double, c_int
   use check
   implicit none
   interface
      subroutine upper_init(epochs, ierr) bind(c, name='CTINIT')
         import
         integer(c_int), intent(in) :: epochs
         integer(c_int), intent(out) :: ierr
      end subroutine upper_init
      subroutine upper_begin(ierr) bind(c, name='CTEBEG')
         import
         integer(c_int), intent(out) :: ierr
      end subroutine upper_begin
      subroutine plain_end(ierr) bind(c, name='cteend')
         import
         integer(c_int), intent(out) :: ierr
      end subroutine plain_end
      subroutine upper_get(energy, co2, forecast, ierr) bind(c, name='CTGET')
         import
         real(c_double), intent(out) :: energy, co2, forecast
         integer(c_int), intent(out) :: ierr
      end subroutine upper_get
      subroutine underscored_end(ierr) bind(c, name='ctend_')
         import
         integer(c_int), intent(out) :: ierr
      end subroutine underscored_end
   end interface
   real(c_double) :: energy, co2, forecast
   integer(c_int) :: ierr

   call upper_init(0_c_int, ierr)
   call same(int(ierr), 0, 'CTINIT')
   call upper_begin(ierr)
   call same(int(ierr), 0, 'CTEBEG')
   call work(0.01_c_double)
   call plain_end(ierr)
   call same(int(ierr), 0, 'cteend')
   call upper_get(energy, co2, forecast, ierr)
   call same(int(ierr), 0, 'CTGET')
   call that(energy >= 1 .and. co2 > 0 .and. forecast < 0, 'energy of 0.01 s and 100 W')
   call underscored_end(ierr)
   call same(int(ierr), 0, 'ctend_')
   print '(a)', 'passed'
end program spelled
