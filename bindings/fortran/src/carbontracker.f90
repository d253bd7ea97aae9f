!> Measures and forecasts the energy and CO2e of a training or time loop.
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
!> **Errors.** Every procedure takes `stat` and `errmsg` as ALLOCATE does. `stat` is 0 (`ct_ok`) on success. It is
!> positive if the call succeeded with a remark (`ct_disabled`, `ct_over_budget`). It is negative if the call failed and
!> changed nothing; `errmsg` then holds the reason. Without `stat`, a failure prints one line on standard error and the
!> program continues.
!>
!> **Disabled.** A tracker is disabled if it was not started, was stopped or could not start. Every call on it does
!> nothing.
!>
!> **Scope.** A tracker ends its run when it goes out of scope, as at END BLOCK. Variables of a main program or with
!> SAVE never go out of scope. After `a = b` both name one run, which then ends only with `stop` on either of them.
!>
!> **Threads.** Any thread may call; calls on one tracker are serialised. Start, copy and stop a tracker on one thread.
!> Call `report` on one thread at a time.
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
   integer, parameter :: ct_over_budget = 2  !! Done; the run passes a budget, by its use or by the forecast.
   integer, parameter :: ct_einval = -1      !! An argument or option is invalid.
   integer, parameter :: ct_estate = -2      !! Invalid call order: an epoch is already open, or none is.
   integer, parameter :: ct_erange = -3      !! A text did not fit; this module handles it.
   integer, parameter :: ct_enoent = -4      !! The number does not exist, or it is unknown.
   integer, parameter :: ct_eio = -5         !! The operating system refused a thread or memory.
   integer, parameter :: ct_efork = -6       !! The tracker belongs to the parent process.
   integer, parameter :: ct_epanic = -7      !! An internal error was caught; the tracker stays usable.

   ! The state that all copies of a tracker share. It stays allocated after the end of the run: a bitwise copy that the
   ! compiler made may still point to it, and then finds a disabled tracker.
   type :: shared_run
      type(c_ptr) :: handle = c_null_ptr
      type(c_ptr) :: owner = c_null_ptr  ! address of the tracker that ends the run; null after a copy
      type(shared_run), pointer :: before => null()
      integer :: looped = 0  ! the epoch that next_epoch began last; 0: none
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
      procedure :: phase_begin
      procedure :: phase_end
      procedure :: epochs_done
      generic :: progress => progress_int32, progress_int64, progress_int64_int32, progress_int32_int64
      procedure :: run_progress
      procedure :: value => value_of
      procedure :: text => text_of
      procedure :: report
      procedure :: message
      procedure :: stop => stop_run
      procedure :: handle => handle_of
      generic :: assignment(=) => share
      procedure, private :: progress_int32, progress_int64, progress_int64_int32, progress_int32_int64, share
      final :: release
   end type tracker

   !> One option for `start`, with a leading blank: `'epochs=10'//option('location', zone)//option('pue', 1.2)`.
   !> A text is quoted and loses its trailing blanks; a blank text gives no option. Numbers keep all digits.
   interface option
      module procedure option_text, option_texts, option_int32, option_int64, option_real32, option_real64
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

      integer(c_int32_t) function ct_phase_begin(handle, name) bind(c)
         import
         type(c_ptr), value :: handle
         character(kind=c_char), intent(in) :: name(*)
      end function ct_phase_begin

      integer(c_int32_t) function ct_phase_end(handle) bind(c)
         import
         type(c_ptr), value :: handle
      end function ct_phase_end

      integer(c_int32_t) function ct_progress(handle, done, total) bind(c)
         import
         type(c_ptr), value :: handle
         integer(c_int64_t), value :: done, total
      end function ct_progress

      integer(c_int32_t) function ct_run_progress(handle, done, total) bind(c)
         import
         type(c_ptr), value :: handle
         real(c_double), value :: done, total
      end function ct_run_progress

      integer(c_int32_t) function ct_value(handle, pointer, out) bind(c)
         import
         type(c_ptr), value :: handle
         character(kind=c_char), intent(in) :: pointer(*)
         real(c_double), intent(inout) :: out
      end function ct_value

      integer(c_int32_t) function ct_text(handle, pointer, buffer, cap, needed) bind(c)
         import
         type(c_ptr), value :: handle
         character(kind=c_char), intent(in) :: pointer(*)
         character(kind=c_char), intent(inout) :: buffer(*)
         integer(c_size_t), value :: cap
         integer(c_size_t), intent(inout) :: needed
      end function ct_text

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

   !> Starts a run. It first releases a run that this tracker holds. Takes well under 5 ms.
   !>
   !> `options` are `key=value` pairs separated by blanks; `option` makes a pair from a variable. The library's
   !> documentation lists the keys. Each key is also an environment variable, CARBONTRACKER_<KEY>; `options` override
   !> it. `ct_einval`: an unknown key or a bad value; `errmsg` names it. `ct_disabled`: CARBONTRACKER_DISABLE=1.
   !> If no device can be measured, the call still succeeds, and a message explains how to enable measurement.
   subroutine start(self, options, stat, errmsg)
      class(tracker), intent(inout) :: self
      character(*), intent(in), optional :: options
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      type(c_ptr) :: handle
      integer(c_int32_t) :: status
      call release(self)
      handle = c_null_ptr
      if (present(options)) then
         status = ct_create(trim(options)//c_null_char, handle)
      else
         status = ct_create(c_null_char, handle)
      end if
      if (status == ct_ok) call own(self, handle)
      call pass_status(status, stat, errmsg)
   end subroutine start

   !> Begins an epoch: reads the clock and returns. `ct_estate`: an epoch is already open; nothing changed.
   subroutine epoch_begin(self, stat, errmsg)
      class(tracker), intent(in) :: self
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      if (associated(self%run)) self%run%looped = 0
      call pass_status(ct_epoch_begin(handle_of(self)), stat, errmsg)
   end subroutine epoch_begin

   !> Ends the open epoch. `ct_over_budget`: it ended, and the run passes budget_kwh, budget_g or budget_h, by its use or
   !> by the lower end of the forecast after two epochs in a row. `ct_estate`: no epoch is open.
   subroutine epoch_end(self, stat, errmsg)
      class(tracker), intent(in) :: self
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      if (associated(self%run)) self%run%looped = 0
      call pass_status(ct_epoch_end(handle_of(self)), stat, errmsg)
   end subroutine epoch_end

   !> Cancels the open epoch, for example after an error in it. The forecast ignores it. `ct_estate`: no epoch is open.
   subroutine epoch_cancel(self, stat, errmsg)
      class(tracker), intent(in) :: self
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      if (associated(self%run)) self%run%looped = 0
      call pass_status(ct_epoch_cancel(handle_of(self)), stat, errmsg)
   end subroutine epoch_cancel

   !> For a loop over `epochs` epochs in which CYCLE leaves no epoch open: ends the epoch `epoch` and begins the next
   !> one. Returns .false. after the last. Set `epoch` first: to 0, or to the epochs that a resumed run has done. `stat`
   !> is the status of the end, or of the begin if that is 0.
   !>
   !>     epoch = run%epochs_done()  ! 0 in a new run
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
      logical :: goes_on
      status = ct_ok
      goes_on = .false.
      if (associated(self%run)) goes_on = epoch > 0 .and. self%run%looped == epoch
      if (goes_on) status = ct_epoch_end(handle_of(self))
      next_epoch = epoch < epochs
      if (next_epoch) then
         epoch = epoch + 1
         begun = ct_epoch_begin(handle_of(self))
         if (begun == ct_estate .and. .not. goes_on) then  ! EXIT left an earlier loop
            begun = ct_epoch_cancel(handle_of(self))
            begun = ct_epoch_begin(handle_of(self))
         end if
         if (status == ct_ok) status = begun
      end if
      if (associated(self%run)) self%run%looped = merge(epoch, 0, next_epoch)
      call pass_status(status, stat, errmsg)
   end function next_epoch

   !> The number of epochs that the run has done, with those of earlier attempts; 0 for a disabled tracker.
   integer function epochs_done(self)
      class(tracker), intent(in) :: self
      epochs_done = int(self%value('/run/epochs_done', 0.0_c_double))
   end function epochs_done

   !> Begins a named phase within the open ones, in an epoch or outside. Trailing blanks of the name do not count. The
   !> report has its time and energy: '/phases/rows/solve/energy_j', or '/phases/rows/step~1solve/energy_j' for a phase in
   !> 'step'. One thread marks the phases of a tracker. `ct_einval`: the name is blank or has more than 128 bytes.
   !> `ct_estate`: 64 phases are open.
   subroutine phase_begin(self, name, stat, errmsg)
      class(tracker), intent(in) :: self
      character(*), intent(in) :: name
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      call pass_status(ct_phase_begin(handle_of(self), trim(name)//c_null_char), stat, errmsg)
   end subroutine phase_begin

   !> Ends the innermost open phase. `ct_estate`: none is open.
   subroutine phase_end(self, stat, errmsg)
      class(tracker), intent(in) :: self
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      call pass_status(ct_phase_end(handle_of(self)), stat, errmsg)
   end subroutine phase_end

   subroutine progress_int32(self, done, total, stat, errmsg)
      class(tracker), intent(in) :: self
      integer(int32), intent(in) :: done, total
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      call self%progress(int(done, int64), int(total, int64), stat, errmsg)
   end subroutine progress_int32

   ! A 64-bit counter of a loop and a literal are the usual pair.
   subroutine progress_int64_int32(self, done, total, stat, errmsg)
      class(tracker), intent(in) :: self
      integer(int64), intent(in) :: done
      integer(int32), intent(in) :: total
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      call self%progress(done, int(total, int64), stat, errmsg)
   end subroutine progress_int64_int32

   subroutine progress_int32_int64(self, done, total, stat, errmsg)
      class(tracker), intent(in) :: self
      integer(int32), intent(in) :: done
      integer(int64), intent(in) :: total
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      call self%progress(int(done, int64), total, stat, errmsg)
   end subroutine progress_int32_int64

   !> Sets the progress of the open epoch: `done` of `total` batches or time steps. It costs as little as a store; call
   !> it as often as you like. If `epochs` is set, a forecast is available from 5 % of the first epoch on.
   !> `ct_einval`: total is less than 1 or less than done. `ct_estate`: no epoch is open.
   subroutine progress_int64(self, done, total, stat, errmsg)
      class(tracker), intent(in) :: self
      integer(int64), intent(in) :: done, total
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      ! Both are unsigned in C, where a negative total would be huge.
      call pass_status(ct_progress(handle_of(self), done, max(total, 0_int64)), stat, errmsg)
   end subroutine progress_int64

   !> Sets the progress of the whole run: `done` of `total`, in any unit, such as time steps or simulated time. It needs
   !> no epochs; call it as often as you like, with 0 at the start, and at the end. `total` may change. `ct_over_budget`:
   !> the run passes a budget. `ct_einval`: done is below 0, total is not above 0, or one is not finite. A `done` that is
   !> less than before is ignored.
   subroutine run_progress(self, done, total, stat, errmsg)
      class(tracker), intent(in) :: self
      real(c_double), intent(in) :: done, total
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      call pass_status(ct_run_progress(handle_of(self), done, total), stat, errmsg)
   end subroutine run_progress

   !> One number of the JSON report by its JSON Pointer: '/usage/energy_j', '/forecast/energy_j/high',
   !> '/epochs/3/duration_s' (the fourth), '/epochs/length' (their number). For an unknown number it returns `default`,
   !> or -1, which no known number is; `stat` is then `ct_enoent`, or `ct_disabled` for a disabled tracker. `ct_einval`:
   !> no report has a value at this pointer. It waits up to 1 s for the last epoch's reading.
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
      if (status == ct_enoent .and. .not. present(stat)) then  ! the value shows it
         if (present(errmsg)) errmsg = 'the report has no such number, or it is unknown'
         return
      end if
      call pass_status(status, stat, errmsg)
   end function value_of

   !> One value of the JSON report by its JSON Pointer: a text as it is, such as '/intensity/zone' or '/notes/0'; anything
   !> else as JSON, such as '/components'. An unknown value is an empty text; `stat` is then `ct_enoent`. `ct_einval`: no
   !> report has a value at this pointer. Call it on one thread at a time, as `report`.
   function text_of(self, pointer, stat, errmsg) result(text)
      class(tracker), intent(in) :: self
      character(*), intent(in) :: pointer
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      character(:), allocatable :: text
      integer(c_int32_t) :: status
      call fetch(self, status, text, pointer=trim(pointer)//c_null_char)
      if (status == ct_enoent .and. .not. present(stat)) then  ! the text shows it
         if (present(errmsg)) errmsg = 'the report has no such value, or it is unknown'
         return
      end if
      call pass_status(status, stat, errmsg)
   end function text_of

   !> The report as 'text', 'json', 'csv' (a row per epoch), 'prometheus' or 'html'. It has no last newline: PRINT adds
   !> one. It is empty for a disabled tracker. It waits up to 1 s for the last epoch's reading. Call it on one thread at
   !> a time: gfortran keeps the length of the result in one place for all threads.
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
      call pass_status(status, stat, errmsg)
   end function report

   !> Takes the oldest queued message (a warning, the forecast, an exceeded budget). Returns .false. if none is left.
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
      call pass_status(status, stat, errmsg)
   end function message

   !> Ends the run. All copies of the tracker are disabled from then on. It returns within 250 ms, even if a device
   !> hangs. Take the report and the messages before.
   subroutine stop_run(self)
      class(tracker), intent(in) :: self
      type(c_ptr) :: handle
      handle = handle_of(self)
      if (associated(self%run)) self%run%handle = c_null_ptr
      call ct_destroy(handle)
   end subroutine stop_run

   !> The `ct_tracker *` of C, for procedures that take one, such as carbontracker_mpi; null if disabled. This tracker
   !> keeps it.
   type(c_ptr) function handle_of(self)
      class(tracker), intent(in) :: self
      handle_of = c_null_ptr
      if (associated(self%run)) handle_of = self%run%handle
   end function handle_of

   !> The version of the loaded library, such as '0.1.0'.
   function ct_version() result(text)
      character(:), allocatable :: text
      call copy_text(c_version(), text)
   end function ct_version

   ! Makes a copy of a tracker. A count of copies would be wrong: compilers make bitwise copies and finalise some.
   impure elemental subroutine share(self, other)
      class(tracker), intent(inout) :: self
      type(tracker), intent(in) :: other
      type(shared_run), pointer :: run
      run => other%run
      if (associated(run)) run%owner = c_null_ptr
      call release(self)
      self%run => run
   end subroutine share

   impure elemental subroutine release(self)
      type(tracker), target, intent(inout) :: self
      if (.not. associated(self%run)) return
      if (c_associated(self%run%owner, c_loc(self))) call self%stop()
      self%run => null()
   end subroutine release

   subroutine own(self, handle)
      type(tracker), target, intent(inout) :: self
      type(c_ptr), intent(in) :: handle
      allocate (self%run)
      self%run%handle = handle
      self%run%owner = c_loc(self)
      self%run%before => latest
      latest => self%run
   end subroutine own

   !> Gets the report in this format, the value at this pointer, or the oldest message. The text may have any length.
   subroutine fetch(self, status, text, format, pointer)
      class(tracker), intent(in) :: self
      integer(c_int32_t), intent(out) :: status
      character(:), allocatable, intent(out) :: text
      character(*), intent(in), optional :: format, pointer
      integer(c_size_t) :: cap, needed
      needed = 4096
      do
         cap = needed + 256  ! the text may grow between two calls
         if (allocated(text)) deallocate (text)
         allocate (character(cap) :: text)
         if (present(format)) then
            status = ct_report(handle_of(self), format, text, cap, needed)
         else if (present(pointer)) then
            status = ct_text(handle_of(self), pointer, text, cap, needed)
         else
            status = ct_message(handle_of(self), text, cap, needed)
         end if
         if (status /= ct_erange) exit
      end do
      if (status /= ct_ok) needed = 1
      text = text(:needed - 1)
   end subroutine fetch

   !> Passes a status to the caller. If the caller takes no status, a failure is printed on standard error.
   subroutine pass_status(status, stat, errmsg)
      integer(c_int32_t), intent(in) :: status
      integer, intent(out), optional :: stat
      character(*), intent(inout), optional :: errmsg
      character(:), allocatable :: words, line
      integer(c_size_t) :: written
      if (present(stat)) stat = status
      if (status == ct_ok) return
      call get_reason(status, words)
      if (present(errmsg)) errmsg = words
      if (status < 0 .and. .not. present(stat)) then
         line = 'carbontracker: '//words//achar(10)
         ! This does not use WRITE: it may run inside the user's own WRITE to that unit, and Fortran forbids that.
         written = c_write(2_c_int, line, len(line, c_size_t))
      end if
   end subroutine pass_status

   subroutine get_reason(status, text)
      integer(c_int32_t), intent(in) :: status
      character(:), allocatable, intent(out) :: text
      if (status < 0) then
         call copy_text(ct_last_error(), text)
      else
         call copy_text(ct_status_string(status), text)
      end if
   end subroutine get_reason

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

   ! These results have a fixed length and spare blanks: gfortran keeps the length of a deferred-length result in one
   ! place for all threads. PURE excludes -fno-automatic, with which gfortran loses the length of `report`.

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

   !> A list: the texts without trailing blanks, with commas between them.
   pure function option_texts(key, values) result(text)
      character(*), intent(in) :: key, values(:)
      character(len(key) + 2*size(values)*(len(values) + 1) + 4) :: text
      character(size(values)*(len(values) + 1)) :: joined
      integer :: i
      joined = ''
      do i = 1, size(values)
         if (i == 1) joined = values(1)
         if (i > 1) joined = trim(joined)//','//values(i)
      end do
      text = option_text(key, joined)
   end function option_texts

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

   ! A number gets few digits if they read back as the same number (1.2), and all significant digits otherwise.

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
