// Options by name reach the library unchanged: unusual texts, every kind of number, in any locale.
//   options [LOCALE...]: locales to try, whose decimal separator is not a point
#include "../c/check.h"

#include <carbontracker.hpp>

#include <clocale>
#include <cstdint>
#include <iostream>
#include <limits>
#include <locale>
#include <string>
#if __cplusplus >= 201703L
#include <filesystem>
#include <optional>
#include <string_view>
#endif

using carbontracker::options;

// Returns a refused value as the library read it: the message repeats it.
static std::string as_the_library_reads(const options &given) {
    ct_status status;
    const auto tracker = carbontracker::tracker::create(given, status);
    CHECK_STATUS(status, CT_EINVAL);
    CHECK(!tracker);
    const std::string message = ct_last_error();
    const auto begin = message.find("='"), end = message.rfind("': expected");
    CHECK(begin != std::string::npos && end != std::string::npos);
    return message.substr(begin + 2, end - begin - 2);
}

// A message has no control characters, because a terminal might obey them.
static std::string shown(std::string text) {
    for (char &c : text)
        if (static_cast<unsigned char>(c) < 32 || c == 127) c = ' ';
    return text;
}

static void texts() {
    const char *const odd[] = {"plain", "two words", " at both ends ", "it's", "''", "'", "\\", "\\\\'", "C:\\temp\\",
                               "line\nbreak\ttab\r", "\v\f", "a=b c=d", "' epochs='3", "\" double \"", "æøå — λ 电", "#;%s%n$(x)", ""};
    for (const char *text : odd) {
        CHECK_TEXT(as_the_library_reads(options().set("pue", text)).c_str(), shown(text).c_str());
        CHECK_TEXT(as_the_library_reads(options("epochs=3").set("pue", std::string(text)).set("level", 0.9)).c_str(), shown(text).c_str());
    }
    std::string every;
    for (char c = 1; c < 127; c++) every += c;
    CHECK_TEXT(as_the_library_reads(options().set("pue", every)).c_str(), shown(every).c_str());
    char letters[] = "mutable";
    char *pointer = letters;
    CHECK_TEXT(options().set("name", letters).set("name", pointer).str().c_str(), "name='mutable' name='mutable'");
    CHECK_TEXT(options().set("devices", 'x').str().c_str(), "devices='x'");
    CHECK_TEXT(options().set("location", static_cast<const char *>(nullptr)).str().c_str(), "");
    CHECK_TEXT(options(static_cast<const char *>(nullptr)).str().c_str(), "");
    CHECK_TEXT(options(std::string("epochs=3")).set("name", "x").str().c_str(), "epochs=3 name='x'");
    options named;
    named.set("epochs", 1).set("epochs", 2);
    const options copy = named;
    named.set("epochs", 3);
    CHECK_TEXT(copy.str().c_str(), "epochs='1' epochs='2'");
    CHECK_TEXT(named.str().c_str(), "epochs='1' epochs='2' epochs='3'");
    const auto &kept = options().set("epochs", 1).set("level", 0.5);  // a value, not a dangling reference
    CHECK_TEXT(kept.str().c_str(), "epochs='1' level='0.5'");
#if __cplusplus >= 201703L
    using namespace std::string_view_literals;
    CHECK_TEXT(options().set("name", "view of more"sv.substr(0, 4)).str().c_str(), "name='view'");
    CHECK_TEXT(options().set("sysroot", std::filesystem::path("/a b")).str().c_str(), "sysroot='/a b'");
    CHECK_TEXT(options().set("epochs", std::optional<int>()).set("pue", std::optional<double>(1.5)).str().c_str(), "pue='1.5'");
    CHECK_TEXT(options().set("name", std::optional<std::string>("x")).str().c_str(), "name='x'");
#endif
}

template <class T> static void number(T value, const char *text) {
    CHECK_TEXT(options().set("x", value).str().c_str(), ("x='" + std::string(text) + "'").c_str());
}

static void numbers() {
    number(10, "10");
    number(-3L, "-3");
    number(static_cast<short>(7), "7");
    number(static_cast<std::uint8_t>(200), "200");
    number(static_cast<std::int8_t>(-5), "-5");
    number(12345678u, "12345678");
    number(std::numeric_limits<std::uint64_t>::max(), "18446744073709551615");
    number(std::numeric_limits<std::int64_t>::min(), "-9223372036854775808");
    number(true, "1");
    number(0.1, "0.1");
    number(1.0, "1");
    number(1.0 / 3, "0.3333333333333333");
    number(0.1 + 0.2, "0.30000000000000004");
    number(0.5f, "0.5");
    number(2.25L, "2.25");
    number(1234567.25, "1234567.25");
    number(1e300, "1e+300");
    number(std::numeric_limits<double>::max(), "1.7976931348623157e+308");
    number(-std::numeric_limits<double>::denorm_min(), "-4.94065645841247e-324");
    number(0.1f, "0.10000000149011612");  // exact to the last digit
    number(std::numeric_limits<double>::quiet_NaN(), "nan");
    CHECK_TEXT(as_the_library_reads(options().set("pue", std::numeric_limits<double>::infinity())).c_str(), "inf");
}

// Doubles of every size are read back exactly, with a decimal point.
static void digits_are_kept(const std::string &elsewhere) {
    std::uint64_t state = 1;
    for (int i = 0; i < 20000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        double number, back;
        std::memcpy(&number, &state, sizeof number);
        if (!(number - number == 0)) continue;  // infinite or none
        const std::string text = options().set("x", number).str();
        std::setlocale(LC_ALL, "C");
        back = std::strtod(text.c_str() + 3, nullptr);
        std::setlocale(LC_ALL, elsewhere.c_str());
        CHECK(std::memcmp(&number, &back, sizeof number) == 0);
    }
}

struct Commas : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
};

int main(int argc, char **argv) {
    texts();
    numbers();
    digits_are_kept("C");
    for (int i = 1; i < argc; i++) {
        CHECK(std::setlocale(LC_ALL, argv[i]) != nullptr);
        CHECK(std::strcmp(std::localeconv()->decimal_point, ".") != 0);
        numbers();
        digits_are_kept(argv[i]);
        std::locale::global(std::locale(argv[i]));
        numbers();
        carbontracker::tracker tracker(options().set("pue", 1.25).set("sim_cpu", "x:100"));
        CHECK(tracker.value("/pue") == 1.25);
    }
    std::locale::global(std::locale(std::locale::classic(), new Commas));
    std::cout.imbue(std::locale());
    std::cout << 1234.5 << '\n';
    numbers();
}
