/* A pole on a cart, and two compiled models that learn to keep it upright.
 *
 *     cartpole dqn|policy|random [seed]
 *
 * Each 0.02 s the cart is pushed left or right; a turn that the pole and the cart outlast brings a reward of 1. An episode
 * ends when the pole leans by more than 12 degrees, when the cart is 2.4 m off, or after 500 turns, so 500 is the most that
 * one can bring. The equations are those of Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve
 * difficult learning control problems" (1983).
 *
 * `dqn` keeps what it met in a ring and learns from draws out of it, a step of the net for a turn of the cart; `policy`
 * plays 16 episodes, learns once from all of them, and forgets them. Either stops when 100 episodes, played as well as it
 * knows, bring 490 in the mean; what is reported then is the mean of 100 new ones. `random` knows nothing. All numbers
 * follow from the seed. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dqn.h"
#include "policy.h"

enum { LONGEST = 500, TESTS = 100 };
static const float wanted = 490;

/* ---- random numbers: splitmix64 ---- */

static uint64_t random_state;

static uint64_t random_bits(void) {
  uint64_t z = random_state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static float random_between(float low, float high) { return low + (high - low) * (float)(random_bits() >> 40) * 0x1p-24f; }

/* ---- the cart ---- */

enum { POSITION, SPEED, ANGLE, TURNING, FEATURES };
typedef struct Cart {
  float state[FEATURES];
  int turns;
} Cart;

static void cart_start(Cart *cart) {
  for (int k = 0; k < FEATURES; k++) cart->state[k] = random_between(-0.05f, 0.05f);
  cart->turns = 0;
}

/* Pushes to the right (1) or left (0) for one turn; false if pole or cart went too far. */
static bool cart_push(Cart *cart, int right) {
  const float gravity = 9.8f, pole = 0.1f, both = 1.1f, half_length = 0.5f, push = 10, seconds = 0.02f;
  float *s = cart->state;
  float sine = sinf(s[ANGLE]), cosine = cosf(s[ANGLE]);
  float pulled = ((right ? push : -push) + pole * half_length * s[TURNING] * s[TURNING] * sine) / both;
  float bend = (gravity * sine - cosine * pulled) / (half_length * (4.0f / 3 - pole * cosine * cosine / both));
  float gain = pulled - pole * half_length * bend * cosine / both;
  s[POSITION] += seconds * s[SPEED];
  s[SPEED] += seconds * gain;
  s[ANGLE] += seconds * s[TURNING];
  s[TURNING] += seconds * bend;
  cart->turns++;
  return fabsf(s[POSITION]) <= 2.4f && fabsf(s[ANGLE]) <= 12 * 3.14159265f / 180;
}

/* ---- what both need ---- */

static void *aligned(size_t bytes) {
  void *memory = aligned_alloc(DQN_ALIGN, (bytes + DQN_ALIGN) / DQN_ALIGN * DQN_ALIGN);
  if (!memory) {
    fprintf(stderr, "cartpole: out of memory\n");
    exit(3);
  }
  return memory;
}

static void check(int code, const char *(*name)(int)) {
  if (code == 0) return;
  fprintf(stderr, "cartpole: %s\n", name(code));
  exit(1);
}

/* Chooses an action for each of `count` states. */
typedef void Choose(const void *model, int count, const float (*state)[FEATURES], int32_t *action);

/* The mean return of episodes that are all played at once. */
static double play_tests(Choose *choose, const void *model) {
  Cart cart[TESTS];
  int playing = TESTS, total = 0;
  for (int k = 0; k < TESTS; k++) cart_start(&cart[k]);
  while (playing > 0) {
    float state[TESTS][FEATURES];
    int32_t action[TESTS];
    int left = 0;
    for (int k = 0; k < playing; k++) memcpy(state[k], cart[k].state, sizeof state[k]);
    choose(model, playing, (const float(*)[FEATURES])state, action);
    for (int k = 0; k < playing; k++) {
      if (cart_push(&cart[k], action[k]) && cart[k].turns < LONGEST)
        cart[left++] = cart[k];
      else
        total += cart[k].turns;
    }
    playing = left;
  }
  return (double)total / TESTS;
}

static bool good_enough(Choose *choose, const void *model, const char *when, long count) {
  double mean = play_tests(choose, model);
  printf("%ld %s: mean return %.1f\n", count, when, mean);
  return mean >= (double)wanted;
}

static int report(Choose *choose, const void *model, bool learnt) {
  double mean = play_tests(choose, model);
  printf("%s; mean return of %d new episodes: %.1f\n", learnt ? "learnt" : "not learnt", TESTS, mean);
  return learnt ? 0 : 1;
}

/* ---- deep Q-learning ---- */

enum { RING = 1 << 15, BATCH = 64, FIRST = 1000, EXPLORING = 10000, MOST_TURNS = 200000, TURNS_BETWEEN_TESTS = 2000 };
typedef struct Dqn {
  void *state, *scratch, *act_scratch;
  float before[RING][FEATURES], after[RING][FEATURES], reward[RING], going[RING];
  int32_t action[RING];
} Dqn;

static void dqn_choose(const void *model, int count, const float (*state)[FEATURES], int32_t *action) {
  const Dqn *dqn = model;
  check(dqn_act(NULL, dqn->state, dqn->act_scratch, count, state[0], action), dqn_error);
}

static void dqn_learn(Dqn *dqn, long met) {
  float before[BATCH][FEATURES], after[BATCH][FEATURES], reward[BATCH], going[BATCH], loss;
  int32_t action[BATCH];
  for (int k = 0; k < BATCH; k++) {
    int at = (int)(random_bits() % (uint64_t)(met < RING ? met : RING));
    memcpy(before[k], dqn->before[at], sizeof before[k]);
    memcpy(after[k], dqn->after[at], sizeof after[k]);
    action[k] = dqn->action[at];
    reward[k] = dqn->reward[at];
    going[k] = dqn->going[at];
  }
  float rate = met < MOST_TURNS / 10 ? 1e-3f : 3e-4f;
  check(dqn_train(NULL, dqn->state, dqn->scratch, BATCH, before[0], action, reward, after[0], going, rate, &loss),
        dqn_error);
}

/* One turn of the cart, some of them by chance, kept in the ring. */
static void dqn_turn(Dqn *dqn, Cart *cart, long turn) {
  int at = (int)(turn % RING);
  float chance = turn < EXPLORING ? 1 - 0.95f * (float)turn / EXPLORING : 0.05f;
  memcpy(dqn->before[at], cart->state, sizeof dqn->before[at]);
  if (random_between(0, 1) < chance)
    dqn->action[at] = (int32_t)(random_bits() & 1);
  else
    dqn_choose(dqn, 1, (const float(*)[FEATURES])cart->state, &dqn->action[at]);
  bool going = cart_push(cart, dqn->action[at]);
  dqn->reward[at] = 0.01f;
  dqn->going[at] = going;
  memcpy(dqn->after[at], cart->state, sizeof dqn->after[at]);
  if (!going || cart->turns == LONGEST) cart_start(cart);
}

static int learn_by_dqn(uint64_t seed) {
  static Dqn dqn;
  Cart cart;
  bool learnt = false;
  dqn.state = aligned(DQN_STATE_BYTES);
  dqn.scratch = aligned(dqn_train_scratch(BATCH, 1));
  dqn.act_scratch = aligned(dqn_act_scratch(TESTS, 1));
  check(dqn_init(dqn.state, seed), dqn_error);
  check(dqn_start(NULL, dqn.state, dqn.scratch), dqn_error);
  cart_start(&cart);
  for (long turn = 0; turn < MOST_TURNS && !learnt; turn++) {
    dqn_turn(&dqn, &cart, turn);
    if (turn >= FIRST) dqn_learn(&dqn, turn + 1);
    if ((turn + 1) % TURNS_BETWEEN_TESTS == 0) learnt = good_enough(dqn_choose, &dqn, "turns", turn + 1);
  }
  int code = report(dqn_choose, &dqn, learnt);
  free(dqn.act_scratch);
  free(dqn.scratch);
  free(dqn.state);
  return code;
}

/* ---- policy gradient ---- */

enum { EPISODES = 16, MOST_ROUNDS = 500, ROUNDS_BETWEEN_TESTS = 5, ROWS = EPISODES * LONGEST };
typedef struct Policy {
  void *state, *scratch, *act_scratch;
  float met[ROWS][FEATURES], gain[ROWS];
  int32_t action[ROWS];
  int rows;
} Policy;

static void policy_choose_best(const void *model, int count, const float (*state)[FEATURES], int32_t *action) {
  const Policy *policy = model;
  check(policy_choose(NULL, policy->state, policy->act_scratch, count, state[0], action), policy_error);
}

/* Plays one episode, actions drawn; then each turn's gain, from the last one back. */
static void policy_episode(Policy *policy) {
  Cart cart;
  int first = policy->rows;
  bool going = true;
  for (cart_start(&cart); going && cart.turns < LONGEST; policy->rows++) {
    memcpy(policy->met[policy->rows], cart.state, sizeof cart.state);
    check(policy_act(NULL, policy->state, policy->act_scratch, 1, cart.state, &policy->action[policy->rows], random_bits()),
          policy_error);
    going = cart_push(&cart, policy->action[policy->rows]);
  }
  /* An episode that was cut off would have gone on: it is taken to be worth as much as one that goes on for ever. */
  float gain = going ? 100 : 0;
  for (int row = policy->rows - 1; row >= first; row--) policy->gain[row] = gain = 1 + 0.99f * gain;
}

static int learn_by_policy(uint64_t seed) {
  static Policy policy;
  bool learnt = false;
  policy.state = aligned(POLICY_STATE_BYTES);
  policy.scratch = aligned(policy_train_scratch(ROWS, 1));
  policy.act_scratch = aligned(policy_act_scratch(TESTS, 1) + policy_choose_scratch(TESTS, 1));
  check(policy_init(policy.state, seed), policy_error);
  for (long round = 1; round <= MOST_ROUNDS && !learnt; round++) {
    policy.rows = 0;
    for (int k = 0; k < EPISODES; k++) policy_episode(&policy);
    check(policy_train(NULL, policy.state, policy.scratch, policy.rows, policy.met[0], policy.action, policy.gain, 5e-3f,
                       NULL, NULL),
          policy_error);
    if (round % ROUNDS_BETWEEN_TESTS == 0)
      learnt = good_enough(policy_choose_best, &policy, "rounds of 16 episodes", round);
  }
  int code = report(policy_choose_best, &policy, learnt);
  free(policy.act_scratch);
  free(policy.scratch);
  free(policy.state);
  return code;
}

/* ---- knowing nothing ---- */

static void choose_randomly(const void *model, int count, const float (*state)[FEATURES], int32_t *action) {
  (void)model;
  (void)state;
  for (int k = 0; k < count; k++) action[k] = (int32_t)(random_bits() & 1);
}

static int play_randomly(uint64_t seed) {
  (void)seed;
  printf("mean return of %d new episodes: %.1f\n", TESTS, play_tests(choose_randomly, NULL));
  return 0;
}

int main(int count, char **words) {
  static const struct {
    const char *name;
    int (*play)(uint64_t seed);
  } ways[] = {{"dqn", learn_by_dqn}, {"policy", learn_by_policy}, {"random", play_randomly}};
  uint64_t seed = count > 2 ? strtoull(words[2], NULL, 10) : 0;
  random_state = seed;
  for (size_t k = 0; count > 1 && k < sizeof ways / sizeof *ways; k++)
    if (strcmp(words[1], ways[k].name) == 0) return ways[k].play(seed);
  fprintf(stderr, "usage: cartpole dqn|policy|random [seed]\n");
  return 2;
}
