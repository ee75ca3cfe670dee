"""The pages. They decide nothing about money: ``till`` does."""

from __future__ import annotations

import contextlib
import secrets

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from getnet_pos import GetnetError
from shop.till import TILL


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """A form for a sale. Its ticket is made with it: the form sent twice is one sale. Yours is the order's number."""
    context = {"ticket": secrets.token_hex(4), "lately": TILL.lately(), "unknown": len(TILL.unknown())}
    return render(request, "home.html", context)


@require_POST
def sell(request: HttpRequest) -> HttpResponse:
    """Begin the sale and show it. The page that shows it may be loaded again: that sells nothing."""
    ticket, amount = request.POST.get("ticket", ""), request.POST.get("amount", "")
    if not (ticket.isascii() and ticket.isalnum() and len(ticket) <= 24 and amount.isdecimal()):
        return HttpResponse("a ticket of up to 24 letters and digits, and an amount in whole units", status=400)
    TILL.sell(ticket, int(amount))
    return redirect("sale", ticket=ticket)


@require_GET
def sale(request: HttpRequest, ticket: str) -> HttpResponse:
    """What the terminal is doing, and at last how it ended."""
    # In this order: a sale that ends between the two lines is in the journal by then.
    stage, failure = TILL.stage(ticket), TILL.failure(ticket)
    intent = TILL.outcome(ticket)  # counts for more than a failure: the ticket may have been paid before
    status = 200 if stage or failure or intent else 404
    context = {"ticket": ticket, "stage": stage, "failure": failure, "intent": intent}
    return render(request, "sale.html", context, status=status)


@require_POST
def cancel(request: HttpRequest, ticket: str) -> HttpResponse:
    """Ask for it. Whether it could be asked or not, the page of the sale tells how the sale ends."""
    with contextlib.suppress(GetnetError):
        TILL.cancel(ticket)
    return redirect("sale", ticket=ticket)


@require_GET
def unknown(request: HttpRequest) -> HttpResponse:
    """The payments whose outcome nobody knows, each with a form for what a person found."""
    return render(request, "unknown.html", {"unknown": TILL.unknown()})


@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Ask the terminal once more."""
    try:
        TILL.ask()
    except GetnetError as error:
        return render(request, "unknown.html", {"unknown": TILL.unknown(), "error": error}, status=503)
    return redirect("unknown")


@require_POST
def decide(request: HttpRequest, intent_id: str) -> HttpResponse:
    """Record what a person found. With users of your own, ``by`` is ``request.user``."""
    paid, by, note = (request.POST.get(name, "").strip() for name in ("paid", "by", "note"))
    if paid not in ("yes", "no"):
        return HttpResponse("paid is yes or no", status=400)
    try:
        TILL.journal.resolve(intent_id, paid=paid == "yes", by=by, note=note)
    except GetnetError as error:
        return render(request, "unknown.html", {"unknown": TILL.unknown(), "error": error}, status=400)
    return redirect("unknown")
