"""Sell through the agent: python sell.py http://127.0.0.1:8787 TOKEN_FILE 25000 A1"""

import sys
from pathlib import Path

import httpx

agent, token_file, amount, ticket = sys.argv[1:]
headers = {"Authorization": f"Bearer {Path(token_file).read_text().strip()}"}
sale = {"amount": int(amount), "ticket": ticket}  # sent again with the same ticket, it is not charged again
answer = httpx.post(f"{agent}/v1/terminals/terminal/sales", json=sale, headers=headers, timeout=None, trust_env=False)
told = answer.json()
if answer.is_error:
    sys.exit(f"refused: {told['detail']} {told['advice']}")
if told["outcome"] == "unknown":
    sys.exit(f"do not charge again: look at the terminal, then resolve {told['intent_id']} ({told['reason']})")
print(told["outcome"], (told["reply"] or {}).get("authorization_code") or told["reason"])
