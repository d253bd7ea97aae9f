// Trackers with static lifetime. CT_OPTIONS has their options.
#include <carbontracker.hpp>

#include <cstring>
#include <string>
#include <thread>

static std::string chosen() {
    const char *options = std::getenv("CT_OPTIONS");
    return options == nullptr ? "" : options;
}

// Its destructor runs at exit.
static carbontracker::tracker &the_tracker() {
    static carbontracker::tracker tracker(chosen());
    return tracker;
}

static void two_epochs(carbontracker::tracker &tracker) {
    for (auto &&epoch : tracker.epochs(2)) {
        (void)epoch;
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
    }
}

// Marks another epoch while static objects are destroyed.
struct late {
    ~late() {
        carbontracker::tracker &tracker = the_tracker();
        tracker.epoch_begin();
        tracker.epoch_end();
    }
};

int main(int count, char **words) {
    if (count < 2) return 2;
    if (std::strcmp(words[1], "destroyed") == 0) {
        two_epochs(the_tracker());
    } else if (std::strcmp(words[1], "leaked") == 0) {
        static carbontracker::tracker *leaked = new carbontracker::tracker(chosen());
        two_epochs(*leaked);
    } else if (std::strcmp(words[1], "used-late") == 0) {
        two_epochs(the_tracker());
        static late last;
        (void)last;
    } else {
        return 2;
    }
    std::exit(0);
}
