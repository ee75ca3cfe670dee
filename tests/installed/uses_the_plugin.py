"""A suite of a program that uses the library, as ``.ci/run`` gives it to pytest beside an installed copy.

It imports nothing: pytest finds the plugin by itself.
"""


def test_a_sale(getnet_connector, getnet_terminal):
    assert getnet_connector.sale(25_000, ticket="A1").approved
    assert getnet_terminal.ledger.balances() == {"A1": 25_000}


def test_a_sale_over_http(getnet_http, getnet_connector):
    assert getnet_connector.sale(25_000, ticket="A1").approved


def test_a_sale_through_a_cloud(getnet_cloud, getnet_connector):
    assert getnet_connector.sale(25_000, ticket="A1").approved


def test_terminals_of_a_merchant(getnet_equipment):
    assert getnet_equipment.base_url.startswith("http://127.0.0.1:")
