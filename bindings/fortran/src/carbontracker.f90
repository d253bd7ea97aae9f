!> Measures, forecasts and prices the energy of a training or time loop.
!>
!>     use carbontracker, only: tracker
!>     type(tracker) :: run
!>     call run%start('epochs=10 location=DK')
!>     do epoch = 1, 10
!>        call run%epoch_begin()
!>        call train()
!>        call run%epoch_end()
!>     end do
!>     print '(a)', run%report()
!>     call run%stop()
!>
!> **Errors.** Every procedure takes `stat` and `errmsg` as ALLOCATE does: `stat` is 0 (`ct_ok`), greater where all is
!> well but something is worth knowing (`ct_disabled`, `ct_over_budget`), less where the call failed and changed nothing;
!> `errmsg` then says why. Without `stat` a failure is one line on standard error, and the program goes on.
!>
!> **Disabled.** A tracker that was not started, was stopped or could not start is a disabled one: every call on it does
!> nothing.
!>
!> **Scope.** A tracker ends its run when it goes out of scope, as at END BLOCK; variables of a main program or with SAVE
!> never do. `a = b` makes two names of one run, which then ends only with `stop`, on either.
!>
!> **Threads.** Any thread may call; calls on one tracker are serialised. Start, copy and stop it on
!> one thread; call `report` on one at a time.
!>
!> **Units** are in every name: _s seconds, _j joules, _kwh kilowatt-hours, _w watts, _g grams of CO2e.
module carbontracker
   use, intrinsic :: iso_c_binding, only: c_associated, c_char, c_double, c_f_pointer, c_int, c_int32_t, c_int64_t, c_loc, &
                                          c_null_char, c_null_ptr, c_ptr, c_size_t
   use, intrinsic :: iso_fortran_env, only: int32, int64, real32, real64
   implicit none
   private
   public :: tracker, option, ct_version
   public :: ct_ok, ct_disabled, ct_over_budget
   public :: ct_einval, ct_estate, ct_erange, ct_enoent, ct_eio, ct_efork, ct_epanic

   integer, parameter :: ct_ok = 0           !! Done.
   integer, parameter :: ct_disabled = 1     !! Nothing to do: the tracker is disabled, or CARBONTRACKER_DISABLE=1.
   integer, parameter :: ct_over_budget = 2  !! The epoch ended; the run's forecast, or its use, passes a budget.
   integer, parameter :: ct_einval = -1      !! An argument or option is invalid.
   integer, parameter :: ct_estate = -2      !! Not now: a second begin, or an end without a begin.
   integer, parameter :: ct_erange = -3      !! A text did not fit; does not reach users of this module.
   integer, parameter :: ct_enoent = -4      !! There is no such number, or it is unknown.
   integer, parameter :: ct_eio = -5         !! The operating system refused a thread or memory.
   integer, parameter :: ct_efork = -6       !! The tracker belongs to the process this one was forked from.
   integer, parameter :: ct_epanic = -7      !! An internal error was caught; the tracker stays usable.

   ! What the copies of a tracker share. It is kept after the run's end: a copy that the compiler made bit by bit may
   ! still look here, and then finds a disabled tracker.
   type :: shared_run
      type(c_ptr) :: handle = c_null_ptr
      type(c_ptr) :: owner = c_null_ptr  ! the tracker with which it ends, by address; none once it was copied
      type(shared_run), pointer :: before => null()
   end type shared_run

   type(shared_run), pointer, save :: latest => null()

   !> A run being tracked, or a disabled tracker.
   type :: tracker
      private
      type(shared_run), pointer :: run => null()
   contains
      procedure :: start
      procedure :: epoch_begin
      procedure :: epoch_end
      procedure :: epoch_cancel
      procedure :: next_epoch
      generic :: progress => progress_int32, progress_int64
      procedure :: value => value_of
      procedure :: report
      procedure :: message
      procedure :: stop => stop_run
      procedure :: handle => handle_of
      generic :: assignment(=) => share
      procedure, private :: progress_int32, progress_int64, share
      final :: let_go
   end type tracker

   !> One option for `start`, with a blank before it: `'epochs=10'//option('location', zone)//option('pue', 1.2)`.
   !> Text is quoted and its trailing blanks are dropped; a blank text leaves the option out. Numbers keep all digits.
   interface option
      module procedure option_text, option_int32, option_int64, option_real32, option_real64
   end interface option

   interface  ! carbontracker.h
      integer(c_int32_t) function ct_create(options, out) bind(c)
         import
         character(kind=c_char), intent(in) :: options(*)
         type(c_ptr), intent(inout) :: out
      end function ct_create

      integer(c_int32_t) function ct_epoch_begin(handle) bind(c)
         import
         type(c_ptr), value :: handle
      end function ct_epoch_begin

      integer(c_int32_t) function ct_epoch_end(handle) bind(c)
         import
         type(c_ptr), value :: handle
      end function ct_epoch_end

      integer(c_int32_t) function ct_epoch_cancel(handle) bind(c)
         import
         type(c_ptr), value :: handle
      end function ct_epoch_cancel

      integer(c_int32_t) function ct_progress(handle, done, total) bind(c)
         import
         type(c_ptr), value :: handle
         integer(c_int64_t), value :: done, total
      end function ct_progress

      integer(c_int32_t) function ct_value(handle, pointer, out) bind(c)
         import
         type(c_ptr), value :: handle
         character(kind=c_char), intent(in) :: pointer(*)
         real(c_double), intent(inout) :: out
      end function ct_value

      integer(c_int32_t) function ct_report(handle, format, buffer, cap, needed) bind(c)
         import
         type(c_ptr), value :: handle
         character(kind=c_char), intent(in) :: format(*)
         character(kind=c_char), intent(inout) :: buffer(*)
         integer(c_size_t), value :: cap
         integer(c_size_t), intent(inout) :: needed
      end function ct_report

      integer(c_int32_t) function ct_message(handle, buffer, cap, needed) bind(c)
         import
         type(c_ptr), value :: handle
         character(kind=c_char), intent(inout) :: buffer(*)
         integer(c_size_t), value :: cap
         integer(c_size_t), intent(inout) :: needed
      end function ct_message

      subroutine ct_destroy(handle) bind(c)
         import
         type(c_ptr), value :: handle
      end subroutine ct_destroy

      type(c_ptr) function ct_last_error() bind(c)
         import
      end function ct_last_error

      type(c_ptr) function ct_status_string(status) bind(c)
         import
         integer(c_int32_t), value :: status
      end function ct_status_string

      type(c_ptr) function c_version() bind(c, name='ct_version')
         import
      end function c_version

      integer(c_size_t) function c_strlen(text) bind(c, name='strlen')
         import
         type(c_ptr), value :: text
      end function c_strlen

      integer(c_size_t) function c_write(file, text, length) bind(c, name='write')
         import
         integer(c_int), value :: file
         character(kind=c_char), intent(in) :: text(*)
         integer(c_size_t), value :: length
      end function c_write
   end interface

contains

   !> Starts a run; one that this tracker holds is let go first. Takes well under 5 ms.
   !>
   !> `options` are `key=value` with blanks between; `option` makes one of a variable. The library's README lists the
   !> keys. Each is also an environment variable, CARBONTRACKER_<KEY>; `options` win.
   !> `ct_einval`: an unknown key or a bad value, which `errmsg` names. `ct_disabled`: CARBONTRACKER_DISABLE=1.
   !> Finding nothing to measure is no failure: a message says what would help.
   subroutine start(self, options, stat, errmsg)
      class(tracker), intent(inout) :: self
      character(*), intent(in), optional :: options
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      type(c_ptr) :: handle
      integer(c_int32_t) :: status
      call let_go(self)
      handle = c_null_ptr
      if (present(options)) then
         status = ct_create(trim(options)//c_null_char, handle)
      else
         status = ct_create(c_null_char, handle)
      end if
      if (status == ct_ok) call own(self, handle)
      call tell(status, stat, errmsg)
   end subroutine start

   !> Begins an epoch: stamps the clock and returns. `ct_estate`: one is open already; nothing changed.
   subroutine epoch_begin(self, stat, errmsg)
      class(tracker), intent(in) :: self
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      call tell(ct_epoch_begin(handle_of(self)), stat, errmsg)
   end subroutine epoch_begin

   !> Ends the epoch begun last. `ct_over_budget`: it ended, and the run's forecast passes budget_kwh, budget_g or
   !> budget_h; that may be told one epoch late. `ct_estate`: no epoch is open.
   subroutine epoch_end(self, stat, errmsg)
      class(tracker), intent(in) :: self
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      call tell(ct_epoch_end(handle_of(self)), stat, errmsg)
   end subroutine epoch_end

   !> Drops the open epoch, as after an error in it: it does not colour the forecast. `ct_estate`: no epoch is open.
   subroutine epoch_cancel(self, stat, errmsg)
      class(tracker), intent(in) :: self
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      call tell(ct_epoch_cancel(handle_of(self)), stat, errmsg)
   end subroutine epoch_cancel

   !> A loop over `epochs` epochs that no CYCLE leaves open: ends the epoch `epoch` and begins the next; .false. after
   !> the last. `epoch` is 0 at first. `stat` is that of the end, else that of the begin.
   !>
   !>     epoch = 0
   !>     do while (run%next_epoch(epoch, 10))
   !>        call train()
   !>     end do
   logical function next_epoch(self, epoch, epochs, stat, errmsg)
      class(tracker), intent(in) :: self
      integer, intent(inout) :: epoch
      integer, intent(in) :: epochs
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      integer(c_int32_t) :: status, begun
      status = ct_ok
      if (epoch > 0) status = ct_epoch_end(handle_of(self))
      next_epoch = epoch < epochs
      if (next_epoch) then
         epoch = epoch + 1
         begun = ct_epoch_begin(handle_of(self))
         if (begun == ct_estate .and. epoch == 1) then  ! a loop before was left by EXIT
            begun = ct_epoch_cancel(handle_of(self))
            begun = ct_epoch_begin(handle_of(self))
         end if
         if (status == ct_ok) status = begun
      end if
      call tell(status, stat, errmsg)
   end function next_epoch

   subroutine progress_int32(self, done, total, stat, errmsg)
      class(tracker), intent(in) :: self
      integer(int32), intent(in) :: done, total
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      call self%progress(int(done, int64), int(total, int64), stat, errmsg)
   end subroutine progress_int32

   !> Says how far the open epoch is: `done` of `total` batches or time steps. As cheap as a store: call it as often as
   !> you like. With `epochs` planned there is a forecast from 5 % of the first epoch on.
   !> `ct_einval`: total is less than 1 or less than done. `ct_estate`: no epoch is open.
   subroutine progress_int64(self, done, total, stat, errmsg)
      class(tracker), intent(in) :: self
      integer(int64), intent(in) :: done, total
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      ! They are unsigned in C: a negative total would be a huge one there.
      call tell(ct_progress(handle_of(self), done, max(total, 0_int64)), stat, errmsg)
   end subroutine progress_int64

   !> One number of the JSON report by its JSON Pointer: '/usage/energy_j', '/forecast/energy_j/high',
   !> '/epochs/3/duration_s' (the fourth). What is unknown is `default`, else -1, which no known number is; `stat` is
   !> then `ct_enoent`, or `ct_disabled` of a disabled tracker. Waits up to 1 s for the reading that closes the last epoch.
   real(c_double) function value_of(self, pointer, default, stat, errmsg)
      class(tracker), intent(in) :: self
      character(*), intent(in) :: pointer
      real(c_double), intent(in), optional :: default
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      integer(c_int32_t) :: status
      value_of = -1
      if (present(default)) value_of = default
      status = ct_value(handle_of(self), trim(pointer)//c_null_char, value_of)
      if (status == ct_enoent .and. .not. present(stat)) then  ! the value says so
         if (present(errmsg)) errmsg = 'there is no such number, or it is not known'
         return
      end if
      call tell(status, stat, errmsg)
   end function value_of

   !> The report as 'text', 'json', 'csv' (a row an epoch), 'prometheus' or 'html', without the last newline, which PRINT adds.
   !> Empty for a disabled tracker. Waits up to 1 s for the reading that closes the last epoch. gfortran keeps the length of
   !> what it returns in one place for all threads: call it on one at a time.
   function report(self, format, stat, errmsg) result(text)
      class(tracker), intent(in) :: self
      character(*), intent(in), optional :: format
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      character(:), allocatable :: text
      integer(c_int32_t) :: status
      if (present(format)) then
         call fetch(self, status, text, trim(format)//c_null_char)
      else
         call fetch(self, status, text, 'text'//c_null_char)
      end if
      if (len(text) > 0) then
         if (text(len(text):) == new_line(text)) text = text(:len(text) - 1)
      end if
      call tell(status, stat, errmsg)
   end function report

   !> Takes the oldest queued message (a warning, the forecast, a budget passed); .false. if none is left.
   !>
   !>     do while (run%message(text))
   !>        print '(a)', text
   !>     end do
   logical function message(self, text, stat, errmsg)
      class(tracker), intent(in) :: self
      character(:), allocatable, intent(out) :: text
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      integer(c_int32_t) :: status
      call fetch(self, status, text)
      message = status == ct_ok
      if (status == ct_enoent) status = ct_ok  ! none is left
      call tell(status, stat, errmsg)
   end function message

   !> Ends the run, for all copies of the tracker, which are disabled from then on. Back within 250 ms even where a
   !> device hangs. Take report and messages before.
   subroutine stop_run(self)
      class(tracker), intent(in) :: self
      type(c_ptr) :: handle
      handle = handle_of(self)
      if (associated(self%run)) self%run%handle = c_null_ptr
      call ct_destroy(handle)
   end subroutine stop_run

   !> The `ct_tracker *` of C, for what takes one, such as carbontracker_mpi; null if disabled. It stays this tracker's.
   type(c_ptr) function handle_of(self)
      class(tracker), intent(in) :: self
      handle_of = c_null_ptr
      if (associated(self%run)) handle_of = self%run%handle
   end function handle_of

   !> The version of the library loaded, as '0.1.0'.
   function ct_version() result(text)
      character(:), allocatable :: text
      call copy_text(c_version(), text)
   end function ct_version

   ! Counting copies would not do: compilers copy bit by bit at places, and finalise copies of their own.
   impure elemental subroutine share(self, other)
      class(tracker), intent(inout) :: self
      type(tracker), intent(in) :: other
      type(shared_run), pointer :: run
      run => other%run
      if (associated(run)) run%owner = c_null_ptr
      call let_go(self)
      self%run => run
   end subroutine share

   impure elemental subroutine let_go(self)
      type(tracker), target, intent(inout) :: self
      if (.not. associated(self%run)) return
      if (c_associated(self%run%owner, c_loc(self))) call self%stop()
      self%run => null()
   end subroutine let_go

   subroutine own(self, handle)
      type(tracker), target, intent(inout) :: self
      type(c_ptr), intent(in) :: handle
      allocate (self%run)
      self%run%handle = handle
      self%run%owner = c_loc(self)
      self%run%before => latest
      latest => self%run
   end subroutine own

   !> The report in that format, or the oldest message: whole, however long it is.
   subroutine fetch(self, status, text, format)
      class(tracker), intent(in) :: self
      integer(c_int32_t), intent(out) :: status
      character(:), allocatable, intent(out) :: text
      character(*), intent(in), optional :: format
      integer(c_size_t) :: cap, needed
      needed = 4096
      do
         cap = needed + 256  ! it may have grown meanwhile
         if (allocated(text)) deallocate (text)
         allocate (character(cap) :: text)
         if (present(format)) then
            status = ct_report(handle_of(self), format, text, cap, needed)
         else
            status = ct_message(handle_of(self), text, cap, needed)
         end if
         if (status /= ct_erange) exit
      end do
      if (status /= ct_ok) needed = 1
      text = text(:needed - 1)
   end subroutine fetch

   !> Hands a status to the caller, who else reads of a failure on standard error.
   subroutine tell(status, stat, errmsg)
      integer(c_int32_t), intent(in) :: status
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      character(:), allocatable :: words, line
      integer(c_size_t) :: written
      if (present(stat)) stat = status
      if (status == ct_ok) return
      call get_words(status, words)
      if (present(errmsg)) errmsg = words
      if (status < 0 .and. .not. present(stat)) then
         line = 'carbontracker: '//words//achar(10)
         ! Not by WRITE: this may run inside the user's own WRITE to that unit, which Fortran forbids.
         written = c_write(2_c_int, line, len(line, c_size_t))
      end if
   end subroutine tell

   subroutine get_words(status, text)
      integer(c_int32_t), intent(in) :: status
      character(:), allocatable, intent(out) :: text
      if (status < 0) then
         call copy_text(ct_last_error(), text)
      else
         call copy_text(ct_status_string(status), text)
      end if
   end subroutine get_words

   subroutine copy_text(address, text)
      type(c_ptr), intent(in) :: address
      character(:), allocatable, intent(out) :: text
      character(kind=c_char), pointer :: letters(:)
      integer(c_size_t) :: i
      call c_f_pointer(address, letters, [c_strlen(address)])
      allocate (character(size(letters)) :: text)
      do i = 1, size(letters, kind=c_size_t)
         text(i:i) = letters(i)
      end do
   end subroutine copy_text

   ! The options' texts are of a length that is known before, with blanks to spare: of a result of deferred length gfortran
   ! keeps the length in one place for all threads. PURE keeps -fno-automatic out, with which it loses that of `report`.

   pure function option_text(key, value) result(text)
      character(*), intent(in) :: key, value
      character(len(key) + 2*len(value) + 4) :: text
      character, parameter :: backslash = achar(92)  ! '\' depends on -fbackslash
      integer :: i, at
      text = ''
      if (len_trim(value) == 0) return
      text = ' '//trim(key)//"='"
      at = len_trim(key) + 3
      do i = 1, len_trim(value)
         if (scan(value(i:i), backslash//"'") > 0) then
            at = at + 1
            text(at:at) = backslash
         end if
         at = at + 1
         text(at:at) = value(i:i)
      end do
      text(at + 1:at + 1) = "'"
   end function option_text

   pure function option_int32(key, value) result(text)
      character(*), intent(in) :: key
      integer(int32), intent(in) :: value
      character(len(key) + 22) :: text
      text = option_int64(key, int(value, int64))
   end function option_int32

   pure function option_int64(key, value) result(text)
      character(*), intent(in) :: key
      integer(int64), intent(in) :: value
      character(len(key) + 22) :: text
      character(20) :: digits
      write (digits, '(i0)') value
      text = ' '//trim(key)//'='//digits
   end function option_int64

   ! A number that was written with few digits (1.2) gets those; another all that it takes.

   pure function option_real32(key, value) result(text)
      character(*), intent(in) :: key
      real(real32), intent(in) :: value
      character(len(key) + 34) :: text
      character(32) :: digits
      real(real32) :: again
      write (digits, '(es32.5e3)') value
      read (digits, *) again
      if (transfer(again, 0_int32) /= transfer(value, 0_int32)) write (digits, '(es32.8e3)') value
      text = ' '//trim(key)//'='//adjustl(digits)
   end function option_real32

   pure function option_real64(key, value) result(text)
      character(*), intent(in) :: key
      real(real64), intent(in) :: value
      character(len(key) + 34) :: text
      character(32) :: digits
      real(real64) :: again
      write (digits, '(es32.14e3)') value
      read (digits, *) again
      if (transfer(again, 0_int64) /= transfer(value, 0_int64)) write (digits, '(es32.16e3)') value
      text = ' '//trim(key)//'='//adjustl(digits)
   end function option_real64

end module carbontracker
