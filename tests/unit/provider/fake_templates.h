/* SPDX-License-Identifier: Apache-2.0 */
/* Chat templates in the shapes of several families, short: what matters of each is how it marks
 * turns, reasoning, tools and calls. */
#ifndef DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_TEMPLATES_H
#define DARKBLOOM_TESTS_UNIT_PROVIDER_FAKE_TEMPLATES_H

/* Turns and nothing else. */
#define TEMPLATE_PLAIN                                                              \
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + " \
    "'<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ "                \
    "'<|im_start|>assistant\n' }}{% endif %}"

/* A date in the system's turn, if the engine knows one. */
#define TEMPLATE_DATED                                                                   \
    "{{ '<|im_start|>system\nToday is ' + (strftime_now('%d %b %Y') if strftime_now is " \
    "defined else 'unknown') + ', ' + (date_string if date_string is defined else "      \
    "'unknown') + '<|im_end|>\n' }}" TEMPLATE_PLAIN

/* Reasoning in <think>, calls as JSON in <tool_call>, one tag a call. */
#define TEMPLATE_TAGGED_BODY                                                             \
    "{%- if tools %}{{ '<|im_start|>system\nTools:\n' }}{%- for t in tools %}{{ t | "    \
    "tojson }}{{ '\n' }}{%- endfor %}{{ 'Call them in <tool_call></tool_call>."          \
    "<|im_end|>\n' }}{%- endif %}"                                                       \
    "{%- for m in messages %}"                                                           \
    "{%- if m.role == 'tool' %}{{ '<|im_start|>user\n<tool_response>\n' + m.content + "  \
    "'\n</tool_response><|im_end|>\n' }}"                                                \
    "{%- elif m.role == 'assistant' %}{{ '<|im_start|>assistant\n' }}"                   \
    "{%- if m.reasoning_content %}{{ '<think>\n' + m.reasoning_content + "               \
    "'\n</think>\n\n' }}{%- endif %}{{ m.content or '' }}"                               \
    "{%- if m.tool_calls %}{%- for c in m.tool_calls %}{%- if c.function %}{%- set c = " \
    "c.function %}{%- endif %}{{ '\n<tool_call>\n{\"name\": \"' + c.name + '\", "        \
    "\"arguments\": ' }}{%- if c.arguments is string %}{{ c.arguments }}{%- else %}{{ "  \
    "c.arguments | tojson }}{%- endif %}{{ '}\n</tool_call>' }}{%- endfor %}{%- endif "  \
    "%}{{ '<|im_end|>\n' }}"                                                             \
    "{%- else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"       \
    "{%- endif %}{%- endfor %}"

#define TEMPLATE_TAGGED                                                     \
    TEMPLATE_TAGGED_BODY                                                    \
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- if " \
    "enable_thinking is defined and enable_thinking is false %}{{ "         \
    "'<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}"

/* The same, but the template opens the reasoning itself. */
#define TEMPLATE_THINKING \
    TEMPLATE_TAGGED_BODY  \
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{%- endif %}"

/* Calls as one JSON array behind [TOOL_CALLS]. */
#define TEMPLATE_ARRAY                                                                   \
    "{%- if tools %}{{ '[AVAILABLE_TOOLS]' + (tools | tojson) + '[/AVAILABLE_TOOLS]' "   \
    "}}{%- endif %}"                                                                     \
    "{%- for m in messages %}"                                                           \
    "{%- if m.role == 'user' %}{{ '[INST]' + m.content + '[/INST]' }}"                   \
    "{%- elif m.role == 'tool' %}{{ '[TOOL_RESULTS]' + m.content + '[/TOOL_RESULTS]' }}" \
    "{%- elif m.tool_calls %}{{ '[TOOL_CALLS][' }}{%- for c in m.tool_calls %}{{ "       \
    "'{\"name\": \"' + c.function.name + '\", \"arguments\": ' + (c.function.arguments " \
    "| tojson) + '}' }}{%- if not loop.last %}{{ ', ' }}{%- endif %}{%- endfor %}{{ "    \
    "']<|im_end|>' }}"                                                                   \
    "{%- else %}{{ m.content + '<|im_end|>' }}{%- endif %}{%- endfor %}"

#endif
