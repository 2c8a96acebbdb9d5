/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive lists: order, and removing from anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
    int value;
    struct list_node link;
};

static void assert_values(const struct list_node *head, const int *values, size_t n)
{
    const struct list_node *at = head->next;

    for (size_t i = 0; i < n; i++, at = at->next) {
        assert_ptr_not_equal(at, head);
        assert_int_equal(list_owner(at, struct item, link)->value, values[i]);
        assert_ptr_equal(at->next->prev, at);
    }
    assert_ptr_equal(at, head);
    assert_int_equal(list_empty(head), n == 0);
}

static void items_stand_in_the_order_in_which_they_were_pushed(void **state)
{
    struct item items[3] = {{.value = 1}, {.value = 2}, {.value = 3}};
    struct list_node head;

    (void)state;
    list_init(&head);
    assert_values(&head, NULL, 0);
    for (size_t i = 0; i < 3; i++) {
        assert_false(list_linked(&items[i].link));
        list_push_back(&head, &items[i].link);
        assert_true(list_linked(&items[i].link));
    }
    assert_values(&head, (int[]){1, 2, 3}, 3);
}

static void an_item_can_be_removed_from_either_end_and_the_middle(void **state)
{
    static const struct {
        size_t removed;
        int left[2];
    } cases[] = {{0, {2, 3}}, {1, {1, 3}}, {2, {1, 2}}};

    (void)state;
    for (size_t c = 0; c < 3; c++) {
        struct item items[3] = {{.value = 1}, {.value = 2}, {.value = 3}};
        struct list_node head;

        list_init(&head);
        for (size_t i = 0; i < 3; i++)
            list_push_back(&head, &items[i].link);
        list_remove(&items[cases[c].removed].link);
        assert_values(&head, cases[c].left, 2);
        assert_false(list_linked(&items[cases[c].removed].link));
        list_push_back(&head, &items[cases[c].removed].link);
        assert_int_equal(list_owner(head.prev, struct item, link)->value,
                         items[cases[c].removed].value);
    }
}

static void removing_what_is_on_no_list_does_nothing(void **state)
{
    struct item only = {.value = 1}, never = {0};
    struct list_node head;

    (void)state;
    list_init(&head);
    list_push_back(&head, &only.link);
    list_remove(&never.link);
    assert_values(&head, (int[]){1}, 1);
    list_remove(&only.link);
    list_remove(&only.link);
    assert_values(&head, NULL, 0);
}

static void all_items_of_a_list_go_to_the_end_of_another(void **state)
{
    (void)state;
    for (size_t there = 0; there < 3; there++) {
        struct item items[4] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
        struct list_node head, from;

        list_init(&head);
        list_init(&from);
        for (size_t i = 0; i < 4; i++)
            list_push_back(i < there ? &head : &from, &items[i].link);
        list_move_all(&head, &from);
        assert_values(&head, (int[]){1, 2, 3, 4}, 4);
        assert_values(&from, NULL, 0);
        list_move_all(&head, &from);
        assert_values(&head, (int[]){1, 2, 3, 4}, 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_stand_in_the_order_in_which_they_were_pushed),
        cmocka_unit_test(an_item_can_be_removed_from_either_end_and_the_middle),
        cmocka_unit_test(removing_what_is_on_no_list_does_nothing),
        cmocka_unit_test(all_items_of_a_list_go_to_the_end_of_another),
    };

    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
