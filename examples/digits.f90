! Trains a softmax regression on handwritten digits and tracks it. This folder has the same program in every language.
!   gfortran -O2 $(pkg-config --variable=includedir carbontracker)/carbontracker.f90 digits.f90 \
!       $(pkg-config --libs carbontracker) -o digits && ./digits digits.csv

program digits
   use, intrinsic :: iso_fortran_env, only: error_unit, real64
   use carbontracker, only: tracker
   implicit none

   integer, parameter :: epochs = 10, batch = 32, pixels = 64, classes = 10, most = 2000
   real(real64), parameter :: rate = 0.5_real64
   character(*), parameter :: usage = 'usage: digits digits.csv [OPTIONS]'

   real(real64) :: images(0:pixels, most)  ! the last value of an image is 1, for the bias
   integer :: labels(most)
   real(real64) :: weights(0:pixels, 0:classes - 1) = 0, gradient(0:pixels, 0:classes - 1)

   type(tracker) :: run  ! stays disabled if it cannot start
   character(:), allocatable :: text
   integer :: count, tests, epoch, first, last, failed
   character(256) :: why
   real(real64) :: loss

   count = read_images(argument(1))
   tests = count/5  ! the first fifth is the test set
   if (count == 0) then
      write (error_unit, '(a)') usage
      stop 1
   end if
   if (command_argument_count() > 1) then
      call run%start(argument(2), stat=failed, errmsg=why)
   else
      call run%start('epochs=10 name=digits', stat=failed, errmsg=why)
   end if
   if (failed < 0) write (error_unit, '(2a)') 'not tracked: ', trim(why)

   do epoch = 1, epochs
      loss = 0
      call run%epoch_begin()
      do first = tests, count - 1, batch
         last = min(first + batch, count)
         loss = loss + step(first + 1, last)
         call run%progress(last - tests, count - tests)
      end do
      call run%epoch_end()
      print '(a,i2,5a)', 'epoch ', epoch, '  loss ', fixed(loss/(count - tests), 4), '  accuracy ', &
         fixed(accuracy(1, tests), 1), ' %'
      if (epoch == 3) then
         call print_value('forecast: energy', '/forecast/energy_j/value', 'J')
         call print_value(', time', '/forecast/duration_s/value', 's')
         print '(a)', ''
      end if
   end do
   do while (run%message(text))
      print '(2a)', 'carbontracker: ', text
   end do
   text = run%report()
   if (len(text) > 0) print '(a)', text
   call run%stop()

contains

   function argument(number) result(text)
      integer, intent(in) :: number
      character(:), allocatable :: text
      integer :: length
      call get_command_argument(number, length=length)
      allocate (character(length) :: text)
      call get_command_argument(number, text)
   end function argument

   ! A line has 64 pixels of one character each (0-9, a-g for 0 to 16), a comma and the digit; # begins a comment.
   integer function read_images(path) result(count)
      character(*), intent(in) :: path
      character(256) :: line
      integer :: file, failed, i
      count = 0
      open (newunit=file, file=path, status='old', action='read', iostat=failed)
      if (failed /= 0) return
      do while (count < most)
         read (file, '(a)', iostat=failed) line
         if (failed /= 0) exit
         if (line(1:1) == '#') cycle
         count = count + 1
         images(:pixels - 1, count) = [(index('0123456789abcdefg', line(i:i)) - 1, i=1, pixels)]/16.0_real64
         images(pixels, count) = 1
         read (line(pixels + 2:), '(i1)') labels(count)
      end do
      close (file)
   end function read_images

   ! Computes the probability of each class; `best` is the most probable class.
   subroutine predict(image, probability, best)
      real(real64), intent(in) :: image(0:)
      real(real64), intent(out) :: probability(0:)
      integer, intent(out) :: best
      real(real64) :: sum, score
      integer :: c, i
      sum = 0
      best = 0
      do c = 0, classes - 1
         score = 0
         do i = 0, pixels
            score = score + weights(i, c)*image(i)
         end do
         probability(c) = exp(score)
         sum = sum + probability(c)
         if (probability(c) > probability(best)) best = c
      end do
      probability = probability/sum
   end subroutine predict

   ! Makes one step of gradient descent on the images `first` to `last`; returns the sum of their losses.
   real(real64) function step(first, last) result(loss)
      integer, intent(in) :: first, last
      real(real64) :: probability(0:classes - 1)
      integer :: n, c, best
      loss = 0
      gradient = 0
      do n = first, last
         call predict(images(:, n), probability, best)
         loss = loss - log(probability(labels(n)))
         probability(labels(n)) = probability(labels(n)) - 1
         do c = 0, classes - 1
            gradient(:, c) = gradient(:, c) + probability(c)*images(:, n)
         end do
      end do
      weights = weights - rate*gradient/(last - first + 1)
   end function step

   real(real64) function accuracy(first, last)
      integer, intent(in) :: first, last
      real(real64) :: probability(0:classes - 1)
      integer :: n, best, right
      right = 0
      do n = first, last
         call predict(images(:, n), probability, best)
         if (best == labels(n)) right = right + 1
      end do
      accuracy = 100.0_real64*right/(last - first + 1)
   end function accuracy

   subroutine print_value(label, pointer, unit)
      character(*), intent(in) :: label, pointer, unit
      real(real64) :: value
      integer :: unknown
      value = run%value(pointer, stat=unknown)
      if (unknown == 0) then
         write (*, '(4a)', advance='no') label, ' ', fixed(value, 3), ' '//unit
      else
         write (*, '(2a)', advance='no') label, ' unknown'
      end if
   end subroutine print_value

   ! Like "%.*f" in C: the format F0.d omits the 0 before the point.
   function fixed(value, places) result(text)
      real(real64), intent(in) :: value
      integer, intent(in) :: places
      character(:), allocatable :: text
      character(40) :: digits
      write (digits, '(f40.'//achar(iachar('0') + places)//')') value
      text = trim(adjustl(digits))
   end function fixed

end program digits
