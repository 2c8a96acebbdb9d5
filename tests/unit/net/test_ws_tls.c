/* SPDX-License-Identifier: Apache-2.0 */
/* A WebSocket client over TLS: whom it believes, and what it says of whom it does not. */
#include "fake_ws.h"

#include <string.h>

#include "net/tls.h"
#include "shared/cert.h"

static struct cert_files files;
static struct tls_context *trusting; /* the certificate in `files` */

static int setup(void **state)
{
    struct tls_context *server;
    struct fake_ws *w;

    if (fake_ws_setup(state) < 0)
        return -1;
    w = *state;
    cert_make(&files, "coordinator.example");
    if (tls_context_new(&(struct tls_files){files.cert, files.key, "cert", "key"}, &server, NULL) <
            0 ||
        tls_context_new_client(files.cert, "ca", &trusting, NULL) < 0)
        return -1;
    http_server_set_tls(w->server, server);
    tls_context_free(server);
    return 0;
}

static int teardown(void **state)
{
    int rc = fake_ws_teardown(state);

    tls_context_free(trusting);
    cert_remove(&files);
    return rc;
}

static void dial(struct fake_ws *w, const char *host, struct tls_context *tls)
{
    struct ws_conn_config config = fake_ws_client_config(w, &w->at_client);

    config.tls = tls;
    assert_int_equal(ws_conn_connect(w->l, host, w->port, "/ws", &config, &fake_end_ops,
                                     &w->at_client, &w->at_client.ws),
                     0);
    loop_fake_settle(w->l);
}

static void messages_go_both_ways(struct fake_ws *w)
{
    static char big[50000];

    memset(big, 'b', sizeof big);
    assert_int_equal(w->at_client.opens, 1);
    assert_int_equal(ws_send(w->at_client.ws, (struct str){big, sizeof big}), 0);
    assert_int_equal(ws_send(w->at_server.ws, STR("down")), 0);
    loop_fake_settle(w->l);
    assert_true(str_is(buf_view(&w->at_client.got), "down|"));
    assert_int_equal(w->at_server.got.len, sizeof big + 1);
}

static void an_address_that_the_certificate_names_is_believed(void **state)
{
    dial(*state, "127.0.0.1", trusting);
    messages_go_both_ways(*state);
}

static void and_so_is_a_name(void **state)
{
    dial(*state, "coordinator.example", trusting);
    messages_go_both_ways(*state);
}

static void however_the_socket_cuts_it(void **state)
{
    struct fake_ws *w = *state;

    loop_fake_set_faults(w->l, (struct loop_fake_faults){.recv_max = 7, .send_max = 5});
    dial(w, "coordinator.example", trusting);
    messages_go_both_ways(w);
}

static void assert_refused(struct fake_ws *w, const char *why)
{
    assert_int_equal(w->at_client.opens, 0);
    assert_int_equal(w->at_client.closes, 1);
    if (!strstr(w->at_client.text, "TLS to the server failed: ") || !strstr(w->at_client.text, why))
        fail_msg("%s", w->at_client.text);
    assert_null(w->at_server.ws);
}

static void a_certificate_of_another_name_is_refused(void **state)
{
    dial(*state, "other.example", trusting);
    assert_refused(*state, "hostname mismatch");
}

static void a_certificate_of_another_address_is_refused(void **state)
{
    dial(*state, "127.0.0.2", trusting);
    assert_refused(*state, "IP address mismatch");
}

static void a_certificate_that_nobody_signed_is_refused(void **state)
{
    struct tls_context *system;

    assert_int_equal(tls_context_new_client("", "ca", &system, NULL), 0);
    dial(*state, "127.0.0.1", system);
    tls_context_free(system);
    assert_refused(*state, "self-signed certificate");
}

static void a_server_that_speaks_no_tls_is_refused(void **state)
{
    struct iovec plain = {(void *)"HTTP/1.1 400 Bad Request\r\n\r\n", 28};
    struct fake_ws *w = *state;
    int listener, sock;

    assert_int_equal(loop_listen(w->l, "127.0.0.1", 0, &listener, &w->port, NULL), 0);
    dial(w, "127.0.0.1", trusting);
    sock = loop_accept(w->l, listener, NULL);
    assert_int_equal(loop_sendv(w->l, sock, &plain, 1), 28);
    loop_fake_settle(w->l);
    assert_refused(w, "wrong version number");
    loop_close(w->l, sock);
    loop_close(w->l, listener);
}

static void a_file_without_certificates_is_refused_by_setting_and_name(void **state)
{
    struct tls_context *ctx;
    struct err e = {0};

    (void)state;
    assert_int_equal(tls_context_new_client(files.key, "coordinator.ca_file", &ctx, &e),
                     ERR_CONFIG);
    assert_non_null(strstr(e.text, "coordinator.ca_file: the file `"));
    assert_non_null(strstr(e.text, files.key));
    assert_int_equal(tls_context_new_client("/none.pem", "ca", &ctx, &e), ERR_CONFIG);
    assert_non_null(strstr(e.text, "/none.pem"));
}

#define TLS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TLS(an_address_that_the_certificate_names_is_believed),
        TLS(and_so_is_a_name),
        TLS(however_the_socket_cuts_it),
        TLS(a_certificate_of_another_name_is_refused),
        TLS(a_certificate_of_another_address_is_refused),
        TLS(a_certificate_that_nobody_signed_is_refused),
        TLS(a_server_that_speaks_no_tls_is_refused),
        TLS(a_file_without_certificates_is_refused_by_setting_and_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
