! A tracker ends its run when it goes out of scope. If it was copied, only `stop` on one of the copies ends the run.
module holders
   use carbontracker
   use check
   implicit none

   type :: model
      type(tracker) :: run
      integer :: layers = 0
   end type model

   type :: zoo
      type(model), allocatable :: models(:)
   end type zoo

   type, extends(tracker) :: named
      integer :: label = 0
   end type named

contains

   function started() result(run)
      type(tracker) :: run
      call run%start('sim_cpu=x:100')
   end function started

    ! An end without a begin distinguishes a live tracker from a disabled one.
   subroutine is_live(run, live, what)
      class(tracker), intent(in) :: run
      logical, intent(in) :: live
      character(*), intent(in) :: what
      integer :: stat
      call run%epoch_end(stat)
      call same(stat, merge(ct_estate, ct_disabled, live), what)
   end subroutine is_live

   subroutine anew(run)
      type(tracker), intent(out) :: run
      call is_live(run, .false., 'intent(out)')
      call run%start('sim_cpu=x:100')
   end subroutine anew

end module holders

program copies
   use holders
   implicit none

   call scopes
   call whole
   call components
   call nested
   call allocated_ones
   call arrays
   call extended
   call constructed
   call function_results
   call intent_out
   print '(a)', 'passed'

contains

   subroutine scopes
      integer :: i
      do i = 1, 3
         block
            type(tracker) :: run
            call is_live(run, .false., 'a new tracker in each round')
            call run%start('sim_cpu=x:100')
            call run%epoch_begin()
            call threads_become(3, 'inside the block')
         end block
         call threads_become(1, 'after the block, with its epoch open')
      end do
   end subroutine scopes

   subroutine whole
      type(tracker) :: a, b
      block
         type(tracker) :: first
         call first%start('sim_cpu=x:100')
         a = first
         b = a
         a = a
         a = b
      end block
      call is_live(a, .true., 'a copy of a tracker that went out of scope')
      block
         type(tracker) :: c
         c = a
         call is_live(c, .true., 'a copy of a copy')
      end block
      call is_live(a, .true., 'a tracker whose copy was in a block')
      call is_live(b, .true., 'another copy')
      call b%stop()
      call threads_become(1, 'after stop on a copy')
      call is_live(a, .false., 'the original of a copy that was stopped')
      call a%stop()
      call b%start('sim_cpu=x:100')
      call is_live(a, .false., 'the original of a copy that was started anew')
      block
         type(tracker) :: none
         b = none
         call is_live(b, .false., 'a copy of a disabled one')
      end block
      call threads_become(1, 'after the last name got another tracker')
   end subroutine whole

   subroutine components
      type(model) :: a
      block
         type(model) :: b
         call b%run%start('sim_cpu=x:100')
      end block
      call threads_become(1, 'after a component went out of scope')
      block
         type(model) :: b
         call b%run%start('sim_cpu=x:100')
         b%layers = 5
         a = b
      end block
      call same(a%layers, 5, 'the other component')
      call is_live(a%run, .true., 'a copied component')
      call a%run%stop()
   end subroutine components

   subroutine nested
      type(zoo) :: a
      call threads_become(1, 'after components')
      allocate (a%models(2))
      call a%models(1)%run%start('sim_cpu=x:100')
      call a%models(2)%run%start('sim_cpu=x:100')
      block
         type(zoo) :: b
         b = a
         call is_live(b%models(2)%run, .true., 'inside a copied array')
      end block
      call is_live(a%models(1)%run, .true., 'inside the array that was copied')
      call is_live(a%models(2)%run, .true., 'inside the array that was copied')
      call a%models(1)%run%stop()
      call a%models(2)%run%stop()
   end subroutine nested

   subroutine allocated_ones
      type(tracker), allocatable :: a, b
      call threads_become(1, 'after arrays of components')
      allocate (a)
      call a%start('sim_cpu=x:100')
      allocate (b, source=a)
      call is_live(b, .true., 'source=')
      deallocate (b)
      call is_live(a, .true., 'what source= was made of')
      allocate (b, source=a)
      call move_alloc(a, b)
      call is_live(b, .true., 'moved')
      allocate (a, source=b)
      deallocate (b)
      call threads_become(1, 'after deallocation')
      call is_live(a, .false., 'source=, when what it was made of is gone')
   end subroutine allocated_ones

   subroutine arrays
      type(tracker), allocatable :: runs(:), more(:)
      integer :: i
      allocate (runs(0))
      do i = 1, 3
         allocate (more(i))
         more(:i - 1) = runs
         call more(i)%start('sim_cpu=x:100')
         call move_alloc(more, runs)
      end do
      do i = 1, 3
         call is_live(runs(i), .true., 'one of an array that grew')
      end do
      call threads_become(5, 'of an array of three')
      allocate (more(3))
      more = runs
      do i = 1, 3
         call more(i)%stop()
      end do
      call threads_become(1, 'after stop on each')
      call runs(2)%start('sim_cpu=x:100')
      deallocate (runs)
      call threads_become(1, 'after deallocation of an array')
      allocate (runs(3))
      call more(1)%start('sim_cpu=x:100')
      runs = more(1)
      call is_live(runs(3), .true., 'an element set by a scalar')
      call more(1)%stop()
   end subroutine arrays

   subroutine extended
      type(named) :: a, b
      call a%start('sim_cpu=x:100')
      a%label = 7
      b = a
      call same(b%label, 7, 'label')
      call is_live(b, .true., 'a copied extension')
      call b%stop()
      call is_live(a, .false., 'an extension whose copy was stopped')
      block
         type(named) :: c
         call c%start('sim_cpu=x:100')
      end block
      call threads_become(1, 'after an extension went out of scope')
   end subroutine extended

   subroutine constructed
      type(tracker) :: run
      type(model) :: a
      call run%start('sim_cpu=x:100')
      block
         type(model) :: b
         b = model(run, 3)
         a = model(b%run, 4)
      end block
      call is_live(a%run, .true., 'what a structure constructor made')
      call is_live(run, .true., 'what it was made of')
      call run%stop()
   end subroutine constructed

   subroutine function_results
      type(tracker) :: run
      call threads_become(1, 'after constructors')
      run = started()
      call is_live(run, .true., 'a function result')
      call run%stop()
   end subroutine function_results

   subroutine intent_out
      type(tracker) :: run
      call threads_become(1, 'after function results')
      call run%start('sim_cpu=x:100')
      call run%stop()  ! gfortran before 13 does not finalise an INTENT(OUT) argument
      call anew(run)
      call is_live(run, .true., 'started by a subroutine')
   end subroutine intent_out

end program copies
