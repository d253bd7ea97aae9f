! Unusual values reach the library unchanged.
program options
   use, intrinsic :: iso_fortran_env, only: int32, int64, real32, real64
   use carbontracker
   use check
   implicit none
   type(tracker) :: run
   character(30) :: padded = 'padded'
   character, parameter :: quote = achar(39), backslash = achar(92), tab = achar(9)
   character(80) :: why
   integer :: stat

   call names('two words')
   call names("it's "//backslash//' a '//quote//quote)
   call names(backslash)
   call names(quote)
   call names('a=b c=d')
   call run%start('sim_cpu=x:1'//option('name', ' leading'//tab//'tab'))
   call that(index(run%report(), ' leading tab: 0') == 1, 'control characters are shown as blanks')
   call names('æøå – 漢字')
   call run%start(option('sim_cpu', 'x:1')//option('name', padded))
   call that(index(run%report(), 'padded: 0') == 1, 'trailing blanks are dropped')
   call same(len_trim(option('name', '  ')), 0, 'length of what is blank')
   call same(len_trim(option('name', '')), 0, 'length of what is empty')
   call run%start('sim_cpu=x:1 name=first'//option('name', 'second'))
   call that(index(run%report(), 'second: 0') == 1, 'the last counts')

   call numbers('/pue', option('pue', 1.2_real64), 1.2_real64)
   call numbers('/pue', option('pue', 1.2_real32), 1.2_real64)
   call numbers('/pue', option('pue', 4.0_real64/3), 4.0_real64/3)
   call numbers('/pue', option('pue', 4.0_real32/3), 1.33333337_real64)
   call numbers('/pue', option('pue', 2), 2.0_real64)
   call numbers('/pue', option('pue', 1 + epsilon(1.0_real64)), 1 + epsilon(1.0_real64))
   call numbers('/intensity/g_per_kwh', option('intensity', 9999.999999999998_real64), 9999.999999999998_real64)
   call numbers('/intensity/g_per_kwh', option('intensity', tiny(1.0_real64)), tiny(1.0_real64))
   call numbers('/intensity/g_per_kwh', option('intensity', 1e-300_real64), 1e-300_real64)
   call numbers('/run/epochs_planned', option('epochs', 2147483647_int32), 2147483647.0_real64)
   call numbers('/run/epochs_planned', option('epochs', 9007199254740993_int64), 9007199254740993.0_real64)
   call that(trim(option('components', ['cpu ', 'dram'])) == " components='cpu,dram'", 'a list')
   call that(len_trim(option('components', [character(3) ::])) == 0, 'an empty list')
   call that(option('epochs', 9007199254740993_int64) == ' epochs=9007199254740993', 'all digits')
   call that(option('epochs', -huge(1_int64) - 1) == ' epochs=-9223372036854775808', 'all digits and a sign')

   call run%start(option('pue', 1e300_real64), stat, why)
   call same(stat, ct_einval, 'stat')
   call that(index(why, 'pue=') == 1, why)
   call run%start(option('epochs', -1), stat)
   call same(stat, ct_einval, 'stat')
   call run%start(stat=stat)  ! all from the environment
   call same(stat, ct_ok, 'stat without options')
   call run%stop()
   print '(a)', 'passed'

contains

   subroutine names(name)
      character(*), intent(in) :: name
      call run%start('sim_cpu=x:1'//option('name', name)//' epochs=3')
      call that(index(run%report(), name//': 0 of 3 epochs') == 1, name//' is '//run%report())
   end subroutine names

   subroutine numbers(pointer, text, expected)
      character(*), intent(in) :: pointer, text
      real(real64), intent(in) :: expected
      real(real64) :: value
      call run%start('sim_cpu=x:1'//text)
      value = run%value(pointer)
      call that(transfer(value, 0_int64) == transfer(expected, 0_int64), pointer//text)
   end subroutine numbers

end program options
