// Laptops that are carried about: from one network to another, asleep in between.  A network is a NAT of its own with an address of a
// provider; the city stays.
#include "sim/scenario/run.h"

namespace macrovpn::sim {

void Simulation::add_laptop(const Crowd& c, HostId id) {
  laptops_.push_back({id, c, streams_.of("laptop", id.value), nullptr});
  Laptop& l = laptops_.back();
  LaptopConfig config;
  config.least_stay = c.roams / 2;
  config.longest_stay = c.roams + c.roams / 2;
  config.longest_sleep = std::max(config.least_sleep + 1ms, c.roams);
  config.begins = world_.began();
  l.habits = std::make_unique<RoamingLaptop>(config, l.rng);
}

void Simulation::plan_step(Laptop& l) {
  world_.at(l.habits->next_deadline(), [this, &l] {
    if (const auto step = l.habits->on_deadline(world_.now().mono)) take_step(l, *step);
    plan_step(l);
  });
}

void Simulation::take_step(Laptop& l, const LaptopStep& step) {
  Host& h = world_.host(l.host);
  const Access before = l.crowd.access.value_or(Access::cable);
  if (step.wish == LaptopWish::sleep) return world_.sleep(l.host);
  if (step.wish == LaptopWish::move || step.access != before) change_network(l, step.access);
  if (step.wish == LaptopWish::wake) world_.wake(l.host);
  h.trouble_until = std::max(h.trouble_until, world_.now().mono);
}

void Simulation::change_network(Laptop& l, Access access) {
  l.crowd.access = access;
  Crowd there = l.crowd;
  const Place here = world_.host(l.host).place;
  there.places = {here};
  const HostSpec spec = placed(there, HostKind::client);
  const BoxId box = world_.add_nat(access == Access::mobile ? NatModel::symmetric() : NatModel::port_restricted(), kInternet, spec.address, here);
  homes_[l.host.value] = box;
  good_up_[l.host.value] = spec.up;
  good_down_[l.host.value] = spec.down;
  world_.move(l.host, world_.inside_of(box), {}, here);
  world_.set_links(l.host, spec.up, spec.down, "has the links of another network");
}

}  // namespace macrovpn::sim
