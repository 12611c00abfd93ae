#include "cli/alerts.h"

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

}  // namespace tidemark::cli
