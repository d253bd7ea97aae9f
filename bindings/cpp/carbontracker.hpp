/**
 * @file carbontracker.hpp
 * carbontracker for C++11 and later: a header over the C library. There is nothing to compile; link `-lcarbontracker`.
 *
 * @code
 * carbontracker::tracker tracker(carbontracker::options().set("epochs", 100).set("location", "DK"));
 * for (auto&& epoch : tracker.epochs(100)) {
 *     train_one_epoch();  // an exception that leaves the loop cancels the epoch
 *     if (epoch.end() == CT_OVER_BUDGET) break;
 * }
 * std::cout << tracker.report();
 * @endcode
 *
 * Errors     The constructor of tracker, value(), text() and report() throw carbontracker::error. Functions that return text
 *            may throw std::bad_alloc. All others are noexcept and return a ct_status as in C: 0 done, > 0 done with a
 *            remark, < 0 failed; ct_last_error() then returns the reason. With -fno-exceptions (one setting for a whole
 *            program) the throwing functions return a disabled tracker, a NaN or an empty text instead.
 * Disabled   A tracker that is disabled, moved from or closed accepts every call and does nothing.
 * Threads    Any thread may call, as in C. The objects of C++ follow the rule of the standard library: while one thread
 *            assigns, moves, closes or ends a tracker or epoch, no other thread may use that object.
 * Units      In every name, as in C: _s seconds, _j joules, _kwh kilowatt-hours, _w watts, _g grams of CO2e.
 */
#ifndef CARBONTRACKER_HPP
#define CARBONTRACKER_HPP

#include <carbontracker.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>
#if __cplusplus >= 201703L
#include <optional>
#include <string_view>
#endif
#ifndef __cpp_lib_uncaught_exceptions
#include <cxxabi.h>
#endif

#if __cplusplus >= 201703L
#define CARBONTRACKER_NODISCARD [[nodiscard]]
#else
#define CARBONTRACKER_NODISCARD __attribute__((warn_unused_result))
#endif
#if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
#define CARBONTRACKER_TRY try
#define CARBONTRACKER_CATCH_ALL catch (...)
#define CARBONTRACKER_THROW(exception) throw exception
#else
#define CARBONTRACKER_TRY if (true)
#define CARBONTRACKER_CATCH_ALL else
#define CARBONTRACKER_THROW(exception) static_cast<void>(0)
#endif

namespace carbontracker {
inline namespace v0 {

/** A failed call: what() has the reason and the fix, status() the status of C. */
class error : public std::runtime_error {
    ct_status status_;

public:
    /** The last failure on this thread. */
    explicit error(ct_status status)
        : std::runtime_error(status < 0 ? ct_last_error() : ct_status_string(status)), status_(status) {}
    ct_status status() const noexcept { return status_; }
};

namespace detail {

/** A text argument for C: a literal or a std::string. It is not copied. */
class c_string {
    const char *text_;

public:
    c_string(const char *text) noexcept : text_(text) {}
    c_string(const std::string &text) noexcept : text_(text.c_str()) {}
    operator const char *() const noexcept { return text_; }
};

/** The number of uncaught exceptions on this thread. If it is larger than before, an exception is leaving the scope. */
inline int uncaught_exceptions() noexcept {
#if defined(__cpp_lib_uncaught_exceptions) || defined(_LIBCPP_VERSION)
    return std::uncaught_exceptions();
#else
    // Strict C++11 and 14 report only whether there is one. A destructor that an exception runs needs the number. The
    // Itanium C++ ABI, which all compilers for Linux follow, stores it behind a pointer (section 2.2.2).
    unsigned int count;
    std::memcpy(&count, reinterpret_cast<const char *>(abi::__cxa_get_globals()) + sizeof(void *), sizeof count);
    return static_cast<int>(count);
#endif
}

/** The fewest digits that read back as the same number. The decimal point is "." in every locale. */
inline std::string digits(double number) {
    char text[40];
    for (int count = std::numeric_limits<double>::digits10; count <= std::numeric_limits<double>::max_digits10; count++) {
        std::snprintf(text, sizeof text, "%.*g", count, number);
        if (std::strtod(text, nullptr) == number) break;
    }
    std::string plain;
    for (const char *c = text; *c != '\0'; c++) {
        if (std::strchr("0123456789+-einfa", *c) != nullptr) plain += *c;
        else if (plain.back() != '.') plain += '.';  // the locale's point, one byte or more
    }
    return plain;
}

/** Calls a function that writes text as snprintf does. Enlarges `text` until it fits; on failure `text` is empty. */
template <class Call> ct_status fill(std::string &text, Call call) {
    std::size_t needed = 4096;
    ct_status status;
    do {
        text.resize(needed);
        status = call(&text[0], text.size(), &needed);
    } while (status == CT_ERANGE);
    text.resize(status == CT_OK ? needed - 1 : 0);
    return status;
}

}  // namespace detail

/**
 * Options by name. The library checks names and values; its documentation lists them.
 *
 *     options().set("epochs", 100).set("name", "my run").set("pue", 1.2)
 *
 * A number keeps all its digits in any locale. A null pointer or an empty std::optional sets nothing, so
 * `set("location", std::getenv("ZONE"))` is valid.
 */
class options {
    std::string text_;

    void add(const std::string &key, const std::string &value) {
        if (!text_.empty()) text_ += ' ';
        text_ += key + "='";
        for (const char c : value) {
            if (c == '\'' || c == '\\') text_ += '\\';
            text_ += c;
        }
        text_ += '\'';
    }
    void add(const std::string &key, const char *value) {
        if (value != nullptr) add(key, std::string(value));
    }
    void add(const std::string &key, char value) { add(key, std::string(1, value)); }
    template <class T> typename std::enable_if<std::is_integral<T>::value>::type add(const std::string &key, T value) {
        add(key, std::to_string(value));
    }
    template <class T>
    typename std::enable_if<std::is_floating_point<T>::value>::type add(const std::string &key, T value) {
        add(key, detail::digits(static_cast<double>(value)));
    }
#if __cplusplus >= 201703L
    void add(const std::string &key, std::string_view value) { add(key, std::string(value)); }
    template <class T> void add(const std::string &key, const std::optional<T> &value) {
        if (value) add(key, *value);
    }
#endif

public:
    /** No options: the environment and the defaults apply. */
    options() = default;
    /** `key=value` pairs as in C; null means no options. */
    options(const char *text) : text_(text == nullptr ? "" : text) {}
    options(std::string text) : text_(std::move(text)) {}

    /** Adds an option. If a key is set twice, the last value wins. */
    template <class T> options &set(const std::string &key, const T &value) & {
        add(key, value);
        return *this;
    }
    template <class T> options set(const std::string &key, const T &value) && { return std::move(set(key, value)); }
    /** The text for C. */
    const std::string &str() const noexcept { return text_; }
};

/**
 * An open epoch. It ends at the end of its scope. If an exception leaves the scope, it is cancelled.
 *
 * It keeps its run alive, so it may outlive its tracker. An epoch that was moved from, has ended or could not begin is
 * not open: it does nothing and returns CT_DISABLED.
 */
class epoch {
    std::shared_ptr<ct_tracker> run_;  // null: not open
    int exceptions_ = 0;               // uncaught exceptions when it began

    void leave() noexcept {
        if (run_ == nullptr) return;
        if (detail::uncaught_exceptions() > exceptions_) ct_epoch_cancel(run_.get());
        else ct_epoch_end(run_.get());
    }

protected:
    friend class tracker;
    explicit epoch(const std::shared_ptr<ct_tracker> &run) noexcept : exceptions_(detail::uncaught_exceptions()) {
        if (ct_epoch_begin(run.get()) == CT_OK) run_ = run;
    }

public:
    /** An epoch that is not open. */
    epoch() = default;
    epoch(epoch &&) noexcept = default;
    /** Ends the epoch that this object held. In `e = tracker.epoch()` that is too late: call `e.end()` before. */
    epoch &operator=(epoch &&other) noexcept {
        if (this == &other) return *this;
        leave();
        run_ = std::move(other.run_);
        exceptions_ = other.exceptions_;
        return *this;
    }
    ~epoch() { leave(); }

    /** Ends the epoch now. CT_OVER_BUDGET: it ended, and the run passes a budget. */
    ct_status end() noexcept {
        const std::shared_ptr<ct_tracker> run = std::move(run_);
        return ct_epoch_end(run.get());
    }
    /** Cancels the epoch: it does not count as an epoch, and the forecast ignores it. */
    ct_status cancel() noexcept {
        const std::shared_ptr<ct_tracker> run = std::move(run_);
        return ct_epoch_cancel(run.get());
    }
    /** Sets the progress: `done` of `total` batches or time steps. Call it as often as you like. */
    ct_status progress(std::uint64_t done, std::uint64_t total) noexcept { return ct_progress(run_.get(), done, total); }
    /** Whether the epoch is open. */
    explicit operator bool() const noexcept { return run_ != nullptr; }
};

/**
 * An open phase. It ends at the end of its scope, also if an exception leaves the scope. Scopes of phases nest: in a phase
 * begins the next one, and ends before it.
 *
 * It keeps its run alive, so it may outlive its tracker. A phase that was moved from, has ended or could not begin is not
 * open: it does nothing and returns CT_DISABLED.
 */
class phase {
    std::shared_ptr<ct_tracker> run_;  // null: not open

    friend class tracker;
    phase(const std::shared_ptr<ct_tracker> &run, const char *name) noexcept {
        if (ct_phase_begin(run.get(), name) == CT_OK) run_ = run;
    }

public:
    phase(phase &&) noexcept = default;
    phase &operator=(phase &&) = delete;  // phases end in the order of their scopes
    ~phase() { end(); }

    /** Ends the phase now. End the phases within it before: the innermost open phase of the tracker ends. */
    ct_status end() noexcept {
        const std::shared_ptr<ct_tracker> run = std::move(run_);
        return ct_phase_end(run.get());
    }
    /** Whether the phase is open. */
    explicit operator bool() const noexcept { return run_ != nullptr; }
};

/** The epochs of a loop, from tracker::epochs or remaining. Each epoch begins and ends with its iteration. */
template <class Count> class epoch_range {
    std::shared_ptr<ct_tracker> run_;
    Count first_, end_;

    friend class tracker;
    epoch_range(std::shared_ptr<ct_tracker> run, Count first, Count end) noexcept
        : run_(std::move(run)), first_(first), end_(first < end ? end : first) {}

public:
    /** An epoch with its number in the loop. */
    class value_type : public epoch {
        Count index_;

    public:
        value_type(const epoch_range &range, Count index) noexcept : epoch(range.run_), index_(index) {}
        /** The number of the epoch, from 0. */
        Count index() const noexcept { return index_; }
    };
    /** An input iterator for one pass: to dereference it begins the epoch. */
    class iterator {
        const epoch_range *range_;
        Count index_;

    public:
        iterator(const epoch_range &range, Count index) noexcept : range_(&range), index_(index) {}
        value_type operator*() const noexcept { return value_type(*range_, index_); }
        iterator &operator++() noexcept {
            ++index_;
            return *this;
        }
        bool operator!=(const iterator &other) const noexcept { return index_ != other.index_; }
    };

    iterator begin() const noexcept { return iterator(*this, first_); }
    iterator end() const noexcept { return iterator(*this, end_); }
};

/** A tracked run. It can be moved, not copied. Its destructor takes a last reading and returns within 250 ms. */
class tracker {
    std::shared_ptr<ct_tracker> run_;  // null: disabled

    struct none {};
    explicit tracker(none) noexcept {}
    ct_status read(std::string &text, const char *pointer) const {
        return detail::fill(text, [&](char *buffer, std::size_t size, std::size_t *needed) {
            return ct_text(native(), pointer, buffer, size, needed);
        });
    }

public:
    /**
     * Makes a tracker and starts measuring. CARBONTRACKER_DISABLE=1 and a machine without meters are no failures.
     * @throws error for an unknown option or a bad value, or if no thread can be started
     */
    explicit tracker(const options &chosen = options()) {
        ct_status status;
        *this = create(chosen, status);
        if (status < 0) CARBONTRACKER_THROW(error(status));
    }
    tracker(tracker &&) noexcept = default;
    tracker &operator=(tracker &&) noexcept = default;

    /** Makes a tracker and never throws. If `status` is not CT_OK, the tracker is disabled. */
    CARBONTRACKER_NODISCARD static tracker create(const options &chosen, ct_status &status) noexcept {
        ct_tracker *run = nullptr;
        status = ct_create(chosen.str().c_str(), &run);
        tracker made = adopt(run);
        if (run != nullptr && !made) status = CT_EIO;
        return made;
    }
    /** Takes ownership of a tracker made in C. The result is disabled if `run` is null or no memory is left. */
    CARBONTRACKER_NODISCARD static tracker adopt(ct_tracker *run) noexcept {
        tracker made = disabled();
        CARBONTRACKER_TRY {
            if (run != nullptr) made.run_.reset(run, ct_destroy);
        }
        CARBONTRACKER_CATCH_ALL {}
        return made;
    }
    /** A tracker that tracks nothing, for ranks and runs that are not measured. */
    CARBONTRACKER_NODISCARD static tracker disabled() noexcept { return tracker(none()); }

    /** Whether the tracker is enabled. */
    explicit operator bool() const noexcept { return run_ != nullptr; }
    /** The pointer for C; null if disabled. The tracker keeps ownership. */
    ct_tracker *native() const noexcept { return run_.get(); }
    /** Ends the run now, or when an open epoch ends. The tracker is disabled from now on. */
    void close() noexcept { run_.reset(); }

    /** Begins an epoch that ends with its scope. If an epoch is already open, this one is not. */
    CARBONTRACKER_NODISCARD carbontracker::epoch epoch() noexcept { return carbontracker::epoch(run_); }
    /**
     * `for (auto&& e : tracker.epochs(n))`: n epochs, one per iteration, with `e.index()` from 0. Each ends with its
     * iteration, also after continue, break or return. An exception that leaves the loop body cancels it.
     */
    template <class Count> CARBONTRACKER_NODISCARD epoch_range<Count> epochs(Count count) noexcept {
        static_assert(std::is_integral<Count>::value, "a number of epochs is an integer");
        return epoch_range<Count>(run_, Count(), count);
    }
    /**
     * The same, from the epochs that earlier attempts of the run have done: `for (auto&& e : tracker.remaining(n))` does
     * the rest of n epochs after a resume, and all of them in a new run.
     */
    template <class Count> CARBONTRACKER_NODISCARD epoch_range<Count> remaining(Count count) noexcept {
        static_assert(std::is_integral<Count>::value, "a number of epochs is an integer");
        const double done = value_or("/run/epochs_done", 0);
        return epoch_range<Count>(run_, done < static_cast<double>(count) ? static_cast<Count>(done) : count, count);
    }

    /**
     * Begins a named phase that ends with its scope: `auto solving = tracker.phase("solve");`. The report has its time and
     * energy: "/phases/rows/solve/energy_j". One thread marks the phases of a tracker. If the begin is refused, the phase
     * is not open: `name` has 1 to 128 bytes of UTF-8, and at most 64 phases are open at once.
     */
    CARBONTRACKER_NODISCARD carbontracker::phase phase(detail::c_string name) noexcept {
        return carbontracker::phase(run_, name);
    }
    /** Calls `f()` as a phase and returns its value: `tracker.phase("solve", [&] { return solve(a, b); })`. */
    template <class Call> auto phase(detail::c_string name, Call &&f) -> decltype(std::forward<Call>(f)()) {
        const carbontracker::phase open = phase(name);
        return std::forward<Call>(f)();
    }

    /** @name The calls of C, for loops in which an epoch or a phase has no scope */
    /**@{*/
    ct_status epoch_begin() noexcept { return ct_epoch_begin(native()); }
    ct_status epoch_end() noexcept { return ct_epoch_end(native()); }
    ct_status epoch_cancel() noexcept { return ct_epoch_cancel(native()); }
    ct_status phase_begin(detail::c_string name) noexcept { return ct_phase_begin(native(), name); }
    ct_status phase_end() noexcept { return ct_phase_end(native()); }
    ct_status progress(std::uint64_t done, std::uint64_t total) noexcept { return ct_progress(native(), done, total); }
    /**@}*/

    /**
     * Sets the progress of the whole run: `done` of `total`, in any unit, such as time steps, simulated time or tokens.
     * It needs no epochs. Call it as often as you like, with 0 at the start. CT_OVER_BUDGET: the run passes a budget.
     */
    ct_status run_progress(double done, double total) noexcept { return ct_run_progress(native(), done, total); }

    /**
     * One number of the JSON report, by its JSON Pointer: `value("/usage/energy_j")`. It waits up to 1 s for readings.
     * `value("/epochs/length")` is the number of a list's entries.
     * A disabled tracker returns NaN.
     * @throws error if the number does not exist or is unknown
     */
    double value(detail::c_string pointer) const {
        double number = std::numeric_limits<double>::quiet_NaN();
        const ct_status status = ct_value(native(), pointer, &number);
        if (status < 0) CARBONTRACKER_THROW(error(status));
        return number;
    }
    /** Gets a number into `number`. Returns false, and leaves `number` unchanged, if it is unknown. */
    bool value(detail::c_string pointer, double &number) const noexcept {
        return ct_value(native(), pointer, &number) == CT_OK;
    }
    /** The number, or `other` if it is unknown. */
    double value_or(detail::c_string pointer, double other) const noexcept {
        value(pointer, other);
        return other;
    }

    /**
     * One value of the JSON report: a text as it is, such as `text("/intensity/zone")`, anything else as JSON, such as
     * `text("/components")`. It waits as value() does. Empty if disabled.
     * @throws error if the value does not exist or is unknown
     */
    std::string text(detail::c_string pointer) const {
        std::string found;
        const ct_status status = read(found, pointer);
        if (status < 0) CARBONTRACKER_THROW(error(status));
        return found;
    }
    /** The text, or `other` if it is unknown. */
    std::string text_or(detail::c_string pointer, std::string other) const {
        std::string found;
        return read(found, pointer) == CT_OK ? found : other;
    }

    /**
     * The report as `format`: "text", "json", "csv" (a row per epoch), "prometheus" or "html". Empty if disabled.
     * @throws error if the format is unknown
     */
    std::string report(detail::c_string format = "text") const {
        std::string text;
        const ct_status status = detail::fill(text, [&](char *buffer, std::size_t size, std::size_t *needed) {
            return ct_report(native(), format, buffer, size, needed);
        });
        if (status < 0) CARBONTRACKER_THROW(error(status));
        return text;
    }

    /** Takes the oldest message (a warning, the forecast, an exceeded budget) into `text`. False: there is none. */
    bool message(std::string &text) {
        return CT_OK == detail::fill(text, [&](char *buffer, std::size_t size, std::size_t *needed) {
            return ct_message(native(), buffer, size, needed);
        });
    }
    /** Takes all messages, oldest first. */
    std::vector<std::string> messages() {
        std::vector<std::string> all;
        for (std::string text; message(text);) all.push_back(text);
        return all;
    }
};

/** The version of the loaded library, such as "0.1.0". */
inline const char *version() noexcept { return ct_version(); }

}  // namespace v0
}  // namespace carbontracker

#undef CARBONTRACKER_NODISCARD
#undef CARBONTRACKER_TRY
#undef CARBONTRACKER_CATCH_ALL
#undef CARBONTRACKER_THROW

#endif
