"""What a server runs, ``runserver`` among them. The terminal is looked for here and not where settings or models load:
other commands of ``manage.py``, and the watcher of ``runserver``, must not take it from the process that serves.
"""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
application = get_wsgi_application()

from shop.till import TILL  # noqa: E402  Django's logging is set up by the line above
from shop.virtual import serve  # noqa: E402

if "SHOP_TERMINAL" not in os.environ:
    serve()
TILL.start()
