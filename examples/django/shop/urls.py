"""The addresses of the pages."""

from django.urls import path

from shop import views

urlpatterns = [
    path("", views.home, name="home"),
    path("sales", views.sell, name="sell"),
    path("sales/<slug:ticket>", views.sale, name="sale"),
    path("sales/<slug:ticket>/cancel", views.cancel, name="cancel"),
    path("unknown", views.unknown, name="unknown"),
    path("unknown/ask", views.ask, name="ask"),
    path("unknown/<slug:intent_id>", views.decide, name="decide"),
]
