#include "cli/output/alerts.h"

#include <catch2/catch.hpp>

namespace tidemark::cli {
namespace {

Json pair(const char* state, double state_seconds, double exposed_seconds) {
  return {{"site", "away"},  {"state", state}, {"state_seconds", state_seconds},
          {"running", true}, {"durable", 7},   {"exposed_seconds", exposed_seconds}};
}

Json volume(const char* pressure, const Json& pairs) {
  return {{"name", "shop"},         {"healthy", true},        {"log_pressure", pressure},
          {"log_bytes", 110 << 20}, {"log_limit", 128 << 20}, {"on_full", "suspend-pair"},
          {"durable", 9},           {"pairs", pairs}};
}

}  // namespace

TEST_CASE("the log limit is told without being asked, pairs only against an RPO") {
  CHECK(alerts_of(volume("ok", Json::array()), std::nullopt).empty());
  CHECK(alerts_of(Json::object(), std::chrono::seconds(1)).empty());
  const Json lagging = Json::array({pair("duplex", 1000, 61)});
  CHECK(alerts_of(volume("ok", lagging), std::nullopt).empty());
  CHECK(alerts_of(volume("ok", lagging), std::chrono::seconds(61)).empty());
  const auto exceeded = alerts_of(volume("ok", lagging), std::chrono::seconds(60));
  REQUIRE(exceeded.size() == 1);
  CHECK(exceeded[0].text.find("'away' exposes the last") != std::string::npos);
  CHECK(alerts_exit_code(exceeded) == 15);
  CHECK(alerts_of(volume("alert", Json::array()), std::nullopt).at(0).kind == AlertKind::kLogAlert);
  CHECK(alerts_of(volume("full", Json::array()), std::nullopt).at(0).kind == AlertKind::kLogFull);
}

TEST_CASE("a pair that is not duplex is exceeded only for as long as it may be that") {
  const std::chrono::seconds rpo(60);
  for (const char* state : {"simplex", "copying", "suspending", "suspended", "failure-suspended", "resyncing"}) {
    CHECK(alerts_of(volume("ok", Json::array({pair(state, 59, 0)})), rpo).empty());
    CHECK(alerts_of(volume("ok", Json::array({pair(state, 61, 0)})), rpo).size() == 1);
  }
  CHECK(alerts_of(volume("ok", Json::array({pair("duplex", 61, 0)})), rpo).empty());
  Json idle = pair("duplex", 61, 0);
  idle["running"] = false;
  CHECK(alerts_of(volume("ok", Json::array({idle})), rpo).size() == 1);
  idle["durable"] = 9;
  CHECK(alerts_of(volume("ok", Json::array({idle})), rpo).empty());
  Json copy = volume("ok", Json::array());
  copy["source"] = {{"source", "vm/1"}, {"state", "failure-suspended"}, {"state_seconds", 61.0}};
  CHECK(alerts_of(copy, rpo).size() == 1);
  CHECK(alerts_of(copy, std::nullopt).empty());
}

TEST_CASE("damage that the scrub could not have repaired is a risk, what it could have is none") {
  Json one = volume("ok", Json::array());
  one["scrub"] = {{"found", 2}, {"healed", 2}, {"damaged", Json::array()}};
  CHECK(alerts_of(one, std::nullopt).empty());
  one["scrub"]["damaged"].push_back({{"file", "00000000000000000001.seg"}, {"byte", 64}, {"seq", 1}});
  const auto alerts = alerts_of(one, std::nullopt);
  REQUIRE(alerts.size() == 1);
  CHECK(alerts[0].standing == Standing::kAtRisk);
  CHECK(alerts_exit_code(alerts) == 3);
}

TEST_CASE("of several alerts the worst comes first, over all volumes") {
  Json failed = volume("alert", Json::array());
  failed["healthy"] = false;
  const Json all =
      Json::array({volume("alert", Json::array()), volume("full", Json::array({pair("suspended", 99, 0)})), failed});
  const auto alerts = alerts_of_all(all, std::chrono::seconds(1));
  REQUIRE(alerts.size() == 5);
  CHECK(alerts[0].kind == AlertKind::kLogFailed);
  CHECK(alerts[1].kind == AlertKind::kLogFull);
  CHECK(alerts[2].kind == AlertKind::kRpoExceeded);
  CHECK(alerts[3].kind == AlertKind::kLogAlert);
  CHECK(alerts[4].kind == AlertKind::kLogAlert);
  CHECK(alerts_exit_code(alerts) == 1);
  CHECK(alerts_exit_code({alerts[0]}) == 1);
  CHECK(alerts_exit_code({alerts[1]}) == 15);
}

namespace {

std::string word(Json volume, std::optional<std::chrono::milliseconds> rpo = std::nullopt) {
  add_standing(volume, rpo);
  return volume["standing"].get<std::string>();
}

int code(const Json& volume, std::optional<std::chrono::milliseconds> rpo = std::nullopt) {
  return alerts_exit_code(alerts_of(volume, rpo));
}

Json copy_that_is(const char* copy, const char* state) {
  Json one = pair(state, 10, 0);
  one["copy"] = copy;
  one["copy_since"] = "2026-01-01T00:00:00Z";
  one["advice"] = "do this";
  return one;
}

}  // namespace

TEST_CASE("a volume that serves is LOCAL without a copy, PROTECTED with good ones, and AT RISK with one that is not") {
  const Json none = Json::array();
  CHECK(word(volume("ok", none)) == "LOCAL");
  CHECK(code(volume("ok", none)) == 0);
  const Json good = copy_that_is("up to date", "duplex");
  CHECK(word(volume("ok", Json::array({good}))) == "PROTECTED");
  CHECK(code(volume("ok", Json::array({good}))) == 0);
  for (const auto& [copy, state] : {std::pair{"behind", "copying"},
                                    {"behind", "suspended"},
                                    {"up to date", "suspended"},
                                    {"unknown", "failure-suspended"},
                                    {"unknown", "duplex"},
                                    {"diverged", "failure-suspended"}}) {
    const Json risky = volume("ok", Json::array({good, copy_that_is(copy, state)}));
    CHECK(word(risky) == "AT RISK");
    CHECK(code(risky) == 3);
    const auto alerts = alerts_of(risky, std::nullopt);
    REQUIRE(alerts.size() == 1);
    CHECK(alerts[0].since == "2026-01-01T00:00:00Z");
    CHECK(alerts[0].to_do == "do this");
    // What an RPO allows keeps its word; another history is allowed by none.
    CHECK(word(risky, std::chrono::seconds(60)) == "AT RISK");
    CHECK(code(risky, std::chrono::seconds(60)) == (std::string(copy) == "diverged" ? 3 : 0));
  }
  Json chain = volume("ok", Json::array({good}));
  chain["downstream"] = Json::array({copy_that_is("unknown", "duplex")});
  CHECK(word(chain) == "AT RISK");
  CHECK(word(volume("alert", none)) == "AT RISK");
  Json damaged = volume("ok", none);
  damaged["damaged_from"] = 7;
  CHECK(word(damaged) == "AT RISK");
}

TEST_CASE("a volume that does not answer, refuses writes or cannot be opened is DOWN") {
  const Json good = Json::array({copy_that_is("up to date", "duplex")});
  Json one = volume("ok", good);
  SECTION("its log has failed") { one["healthy"] = false; }
  SECTION("a fence, or a full disk") {
    one["writable"] = false;
    one["refusal"] = "full";
  }
  SECTION("a successor") { one["superseded"] = {{"epoch", 2}}; }
  SECTION("nothing is acknowledged") {
    one["pairs"] = Json::array({copy_that_is("behind", "resyncing")});
    one["pairs"][0]["withholds"] = true;
  }
  SECTION("a dead mount") { one["mount"] = "dead"; }
  SECTION("one that hangs") { one["mount"] = "silent"; }
  SECTION("its process hangs") { one["holder_answers"] = false; }
  CHECK(word(one) == "DOWN");
  CHECK(code(one) == 1);
  CHECK(code(one, std::chrono::hours(1)) == 1);
}

TEST_CASE("the log limit is DOWN where it blocks writes; what cannot be opened keeps the code of that") {
  Json blocked = volume("full", Json::array());
  CHECK(word(blocked) == "AT RISK");
  blocked["on_full"] = "block-writes";
  CHECK(word(blocked) == "DOWN");
  CHECK(code(blocked) == 15);
  Json broken = {{"name", "/srv/vol"}, {"error", "damaged"}, {"error_code", "corrupt"}};
  CHECK(word(broken) == "DOWN");
  CHECK(code(broken) == 13);
  broken["error_code"] = "unreachable";
  CHECK(word(broken) == "DOWN");
  CHECK(code(broken) == 14);
  broken["error_code"] = "access-denied";
  CHECK(word(broken) == "UNKNOWN");
  CHECK(code(broken) == 12);
  broken["mount"] = "dead";
  CHECK(word(broken) == "DOWN");
}

TEST_CASE("a copy at a site is judged by what it hears of its source") {
  Json copy = volume("ok", Json::array());
  copy["role"] = "replica";
  copy["served"] = true;
  CHECK(word(copy) == "AT RISK");  // nobody has ever shipped to it
  copy["source"] = {{"source", "vm/1"}, {"state", "duplex"}, {"copy", "up to date"}};
  CHECK(word(copy) == "PROTECTED");
  CHECK(code(copy) == 0);
  copy["source"]["copy"] = "unknown";
  copy["source"]["heard_seconds"] = 5.0;
  CHECK(word(copy) == "AT RISK");
  CHECK(code(copy) == 3);
  CHECK(code(copy, std::chrono::seconds(4)) == 15);
  CHECK(code(copy, std::chrono::seconds(6)) == 0);
  copy["source"].erase("heard_seconds");
  CHECK(code(copy, std::chrono::hours(1)) == 15);
  copy["served"] = false;
  CHECK(word(copy) == "DOWN");
  CHECK(code(copy) == 1);
}

TEST_CASE("an exposure whose beginning has left the log is not none") {
  Json exposed = pair("duplex", 1, 0);
  exposed["exposed_records"] = 5;
  exposed.erase("exposed_seconds");
  CHECK(code(volume("ok", Json::array({exposed})), std::chrono::hours(1)) == 15);
  exposed["exposed_seconds"] = 3.0;
  CHECK(code(volume("ok", Json::array({exposed})), std::chrono::hours(1)) == 0);
  exposed["exposed_at_least"] = true;
  CHECK(code(volume("ok", Json::array({exposed})), std::chrono::hours(1)) == 15);
}

}  // namespace tidemark::cli
