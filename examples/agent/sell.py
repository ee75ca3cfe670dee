"""Sell through the agent.

Usage: python sell.py AGENT TOKEN_FILE AMOUNT TICKET
Such as: python sell.py http://127.0.0.1:8787 ~/.local/state/getnet-pos/agent-token 25000 A1
"""

import sys
from pathlib import Path

import httpx

if len(sys.argv) != 5:
    sys.exit(__doc__)
agent, token_file, amount, ticket = sys.argv[1:]
headers = {"Authorization": f"Bearer {Path(token_file).read_text().strip()}"}
sale = {"amount": int(amount), "ticket": ticket}  # sent again with the same ticket, it is not charged again
url = f"{agent}/v1/terminals/terminal/sales"
try:
    answer = httpx.post(url, json=sale, headers=headers, timeout=None, trust_env=False)
except httpx.TransportError as error:
    sys.exit(f"no answer from the agent ({error}): run this again with the same ticket")
result = answer.json()
if answer.is_error:
    sys.exit(f"refused: {result['detail']} {result['advice']}")
if result["outcome"] == "unknown":
    sys.exit(f"do not charge again: look at the terminal, then resolve {result['intent_id']} ({result['reason']})")
print(result["outcome"], (result["reply"] or {}).get("authorization_code") or result["reason"])
