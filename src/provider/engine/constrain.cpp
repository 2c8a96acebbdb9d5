/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/engine/constrain.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <llama.h>
#include <memory>
#include <string>
#include <vector>

#include "provider/engine/chat_shim.h"

extern "C" {
#include "base/err.h"
}

namespace
{

struct sampler_free {
    void operator()(llama_sampler *s) const
    {
        llama_sampler_free(s);
    }
};

struct spoken {
    llama_token token;
    std::string text;
};

} // namespace

struct constraint {
    const llama_vocab *vocab;
    std::unique_ptr<llama_sampler, sampler_free> grammar;
    bool waiting;  /* for a word; the grammar knows nothing of the answer yet */
    bool thinking; /* inside reasoning, where no word counts */
    std::vector<std::string> words, thinks, thought;
    std::vector<llama_token> word_tokens;
    std::vector<spoken> recent; /* the last tokens, as many as a word can reach over */
    size_t longest;             /* of words and tags, bytes */
    std::vector<llama_token_data> candidates;
    int64_t spent_us, tokens;
};

namespace
{

std::vector<std::string> constraint_list(const chat_form *form, chat_form_list list)
{
    std::vector<std::string> all;

    for (size_t i = 0; const char *item = chat_form_item(form, list, i); i++)
        all.push_back(item);
    return all;
}

/* ECMAScript's special characters, escaped. */
std::string constraint_escape(const std::string &word)
{
    std::string out;

    for (char c : word) {
        if (std::string("\\^$.|?*+()[]{}/").find(c) != std::string::npos)
            out += '\\';
        out += c;
    }
    return out;
}

/* The token that is this text, or -1. */
llama_token constraint_token_of(const llama_vocab *vocab, const std::string &text)
{
    llama_token tokens[2];
    int32_t n = llama_tokenize(vocab, text.data(), (int32_t)text.size(), tokens, 2, false, true);

    return n == 1 ? tokens[0] : -1;
}

std::string constraint_text_of(const llama_vocab *vocab, llama_token token)
{
    char small[64];
    int32_t n = llama_token_to_piece(vocab, token, small, sizeof small, 0, true);

    if (n >= 0)
        return std::string(small, (size_t)n);
    std::string large((size_t)-n, 0);
    n = llama_token_to_piece(vocab, token, &large[0], -n, 0, true);
    large.resize(n > 0 ? (size_t)n : 0);
    return large;
}

/* --- making --- */

llama_sampler *constraint_lazy_grammar(constraint *c, const char *gbnf, const chat_form *form)
{
    std::vector<std::string> patterns = constraint_list(form, CHAT_FORM_PATTERNS);
    std::vector<const char *> raw;

    c->waiting = patterns.empty(); /* a pattern may look at all of the answer: the library does */
    for (const auto &word : c->words) {
        llama_token token = constraint_token_of(c->vocab, word);

        if (token >= 0)
            c->word_tokens.push_back(token);
        patterns.push_back(constraint_escape(word));
    }
    raw.reserve(patterns.size());
    for (const auto &p : patterns)
        raw.push_back(p.c_str());
    return llama_sampler_init_grammar_lazy_patterns(c->vocab, gbnf, "root", raw.data(), raw.size(),
                                                    c->word_tokens.data(), c->word_tokens.size());
}

/* The grammar begins with what the template wrote of the answer already. */
void constraint_feed_begun(constraint *c, const chat_form *form)
{
    chat_shim_text begun = chat_form_begun(form);
    std::vector<llama_token> tokens(begun.n + 1);
    int32_t n = llama_tokenize(c->vocab, begun.p, (int32_t)begun.n, tokens.data(),
                               (int32_t)tokens.size(), false, true);

    for (int32_t i = 0; i < n; i++) {
        std::string text = constraint_text_of(c->vocab, tokens[(size_t)i]);

        if (i == 0 && !text.empty() && isspace((unsigned char)text[0]) &&
            !isspace((unsigned char)begun.p[0]))
            continue; /* a space that the tokenizer put before the first token */
        llama_sampler_accept(c->grammar.get(), tokens[(size_t)i]);
    }
}

/* Whether reasoning has begun in the prompt. */
bool constraint_begins_thinking(const constraint *c, const chat_form *form)
{
    chat_shim_text begun = chat_form_begun(form);
    std::string text(begun.p, begun.n);

    for (const auto &tag : c->thinks) {
        size_t at = text.rfind(tag);

        if (at == std::string::npos)
            continue;
        for (const auto &end : c->thought) {
            if (text.find(end, at) != std::string::npos)
                return false;
        }
        return true;
    }
    return false;
}

void constraint_set_up(constraint *c, const chat_form *form)
{
    c->words = constraint_list(form, CHAT_FORM_WORDS);
    c->thinks = constraint_list(form, CHAT_FORM_THINKS);
    c->thought = constraint_list(form, CHAT_FORM_THOUGHT);
    for (const auto *list : {&c->words, &c->thinks, &c->thought}) {
        for (const auto &text : *list)
            c->longest = std::max(c->longest, text.size());
    }
    c->thinking = !c->thought.empty() && constraint_begins_thinking(c, form);
}

int constraint_make(const llama_vocab *vocab, const chat_form *form, constraint **ret_constraint)
{
    const char *gbnf = chat_form_grammar(form);
    auto c = std::unique_ptr<constraint>(new constraint());

    if (std::char_traits<char>::length(gbnf) > CONSTRAINT_GRAMMAR_MAX_BYTES)
        return ERR_LIMIT;
    c->vocab = vocab;
    constraint_set_up(c.get(), form);
    if (chat_form_is_lazy(form))
        c->grammar.reset(constraint_lazy_grammar(c.get(), gbnf, form));
    else
        c->grammar.reset(llama_sampler_init_grammar(vocab, gbnf, "root"));
    if (!c->grammar)
        return ERR_PARSE;
    if (!chat_form_is_lazy(form))
        constraint_feed_begun(c.get(), form);
    *ret_constraint = c.release();
    return 0;
}

/* --- waiting for a word --- */

bool constraint_holds(const std::string &text, const std::vector<std::string> &any)
{
    for (const auto &word : any) {
        if (text.find(word) != std::string::npos)
            return true;
    }
    return false;
}

/* Tokens that no word can begin in any more are forgotten. */
std::string constraint_hear(constraint *c, llama_token token)
{
    std::string tail;
    size_t bytes = 0, first;

    c->recent.push_back({token, constraint_text_of(c->vocab, token)});
    for (first = c->recent.size(); first > 0 && bytes < c->longest + c->recent.back().text.size();)
        bytes += c->recent[--first].text.size();
    c->recent.erase(c->recent.begin(), c->recent.begin() + (long)first);
    for (const auto &s : c->recent)
        tail += s.text;
    return tail;
}

void constraint_begin(constraint *c)
{
    c->waiting = false;
    for (const auto &s : c->recent)
        llama_sampler_accept(c->grammar.get(), s.token);
    c->recent.clear();
}

void constraint_listen(constraint *c, llama_token token)
{
    std::string tail = constraint_hear(c, token);

    if (c->thinking && constraint_holds(tail, c->thought)) {
        c->thinking = false;
        c->recent.clear();
    } else if (!c->thinking && constraint_holds(tail, c->words)) {
        constraint_begin(c);
    } else if (!c->thinking && !c->thought.empty() && constraint_holds(tail, c->thinks)) {
        c->thinking = true;
        c->recent.clear();
    }
}

/* --- asking --- */

/* Of this thread alone: a machine that is busy elsewhere makes no grammar slow. */
int64_t constraint_cpu_us()
{
    timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct stopwatch {
    constraint *c;
    int64_t start_us = constraint_cpu_us();

    explicit stopwatch(constraint *of) : c(of) {}
    ~stopwatch()
    {
        c->spent_us += constraint_cpu_us() - start_us;
    }
};

bool constraint_apply(constraint *c)
{
    llama_token_data_array all = {c->candidates.data(), c->candidates.size(), -1, false};

    llama_sampler_apply(c->grammar.get(), &all);
    return std::any_of(c->candidates.begin(), c->candidates.end(),
                       [](const llama_token_data &d) { return d.logit > -INFINITY; });
}

/* The candidates' logits alone remain. */
void constraint_write(const constraint *c, float *logits, int32_t vocab)
{
    std::fill(logits, logits + vocab, -INFINITY);
    for (const auto &d : c->candidates)
        logits[d.id] = d.logit;
}

bool constraint_likelier(const llama_token_data &a, const llama_token_data &b)
{
    return a.logit > b.logit || (a.logit >= b.logit && a.id < b.id);
}

int constraint_mask_all(constraint *c, float *logits, int32_t vocab)
{
    std::vector<llama_token_data> rest;
    bool fits;

    c->candidates.clear();
    for (int32_t i = 0; i < vocab; i++)
        c->candidates.push_back({i, logits[i], 0});
    if (vocab > CONSTRAINT_TOP) {
        auto top = c->candidates.begin() + CONSTRAINT_TOP;

        std::nth_element(c->candidates.begin(), top, c->candidates.end(), constraint_likelier);
        rest.assign(top, c->candidates.end());
        c->candidates.resize(CONSTRAINT_TOP);
    }
    fits = constraint_apply(c);
    if (!fits && !rest.empty()) {
        c->candidates.swap(rest);
        fits = constraint_apply(c);
    }
    if (!fits)
        return ERR_MODEL;
    constraint_write(c, logits, vocab);
    return 0;
}

} // namespace

extern "C" int constraint_new(const struct llama_vocab *vocab, const struct chat_form *form,
                              struct constraint **ret_constraint)
{
    try {
        *ret_constraint = nullptr;
        return *chat_form_grammar(form) ? constraint_make(vocab, form, ret_constraint) : 0;
    } catch (const std::bad_alloc &) {
        return ERR_NOMEM;
    } catch (...) {
        return ERR_PARSE;
    }
}

extern "C" void constraint_free(struct constraint *c)
{
    delete c;
}

extern "C" bool constraint_allows(struct constraint *c, int32_t token)
{
    if (c->waiting)
        return true;
    try {
        stopwatch watch(c);

        c->candidates.assign(1, {token, 0, 0});
        return constraint_apply(c);
    } catch (...) {
        return false;
    }
}

extern "C" int constraint_mask(struct constraint *c, float *logits, int32_t vocab)
{
    try {
        stopwatch watch(c);

        return constraint_mask_all(c, logits, vocab);
    } catch (...) {
        return ERR_MODEL;
    }
}

extern "C" int constraint_accept(struct constraint *c, int32_t token)
{
    try {
        stopwatch watch(c);

        c->tokens++;
        if (c->waiting)
            constraint_listen(c, token);
        else
            llama_sampler_accept(c->grammar.get(), token);
    } catch (...) {
        return ERR_MODEL;
    }
    return c->spent_us > CONSTRAINT_GRACE_US + c->tokens * CONSTRAINT_TOKEN_US ? ERR_TIMEOUT : 0;
}
