"""What is promised, and which check of the audit proves it: the French of the report, all in one place.

A check that is not here is not lost: it is shown among « Autres vérifications », and a test says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

SYSADMINS = "les administrateurs des systèmes"
REQUESTS = "le service qui suit les demandes"
OFFICIALS = "les élus, avec le service qui suit les demandes"

AUDIT_FRESH = timedelta(hours=48)
"""An audit is made every day: beyond two, its proofs are old."""
BACKUPS_FRESH = timedelta(hours=36)
"""Verdicts are read every day, after the night's backups."""
RESTORE_FRESH = timedelta(days=92)
"""A restore is tried every quarter."""
KEPT_FRESH = timedelta(days=3650)
"""What is true from then on: an erasure that was seen once needs no second one."""


@dataclass(frozen=True)
class Promise:
    """One promise to associations and officials: what is promised, and how it is proven."""

    key: str
    title: str
    sentence: str
    how: str


@dataclass(frozen=True)
class Check:
    """What a check of the audit says in French: when it passed, when it failed, what is then to do and by whom.
    `why`: why it may be left out, for a check on the committed list of those that cannot be made everywhere."""

    promise: str
    passed: str
    failed: str
    ask: str
    who: str = SYSADMINS
    why: str = ""


PROMISES = (
    Promise(
        "answers",
        "Les sites répondent",
        "Chaque site répond à ses visiteurs, à son adresse, et ce qui y est publié peut être relu.",
        "Une page est demandée depuis l’extérieur, comme le ferait un visiteur ; une page d’essai est publiée, "
        "relue, puis retirée.",
    ),
    Promise(
        "certificates",
        "Les échanges sont chiffrés",
        "Chaque adresse est protégée par un certificat valable, renouvelé avant sa fin.",
        "Une connexion est ouverte vers chaque adresse, et le certificat présenté est vérifié.",
    ),
    Promise(
        "isolation",
        "Chaque association est chez elle",
        "Aucun site ne peut lire, modifier ou arrêter celui d’une autre association, même s’il est piraté.",
        "Depuis l’intérieur de chaque site, on essaie d’atteindre ce qui est aux autres : tout doit être refusé.",
    ),
    Promise(
        "backups",
        "Chaque site est sauvegardé",
        "Chaque nuit, chaque site est sauvegardé sur une autre machine, où lui-même ne peut rien effacer.",
        "Une sauvegarde ne compte que si elle a été relue sur le serveur de sauvegardes : ni manquante, ni "
        "incomplète, ni trop ancienne.",
    ),
    Promise(
        "restores",
        "Les sauvegardes sont restaurables",
        "Une sauvegarde peut être remise en service, et son contenu est alors comparé à ce qui avait été sauvegardé.",
        "Un site est remis en service à partir de sa sauvegarde, à l’écart, et son contenu est comparé.",
    ),
    Promise(
        "updates",
        "Les corrections de sécurité sont installées",
        "Les corrections de sécurité des logiciels sont installées sans attendre.",
        "Chaque serveur dit quelles corrections lui manquent encore.",
    ),
    Promise(
        "closed",
        "Les serveurs sont fermés",
        "Rien n’est ouvert sur le réseau en dehors de ce qui est déclaré, et seuls les administrateurs entrent dans "
        "les serveurs.",
        "Les portes de chaque serveur sont essayées de l’extérieur et de l’intérieur, et ses réglages sont relus.",
    ),
    Promise(
        "limits",
        "Chacun a sa place, sans prendre celle des autres",
        "Chaque site dispose de la place qui lui a été accordée, et ne peut pas prendre celle des autres.",
        "Les limites sont relues là où elles s’appliquent, et par leur effet.",
    ),
    Promise(
        "declared",
        "Ce qui est en service est ce qui a été décidé",
        "Tout ce qui existe vient d’une demande ou d’une déclaration écrite ; ce qui s’en écarte est trouvé.",
        "L’état réel des serveurs est comparé à ce que disent les demandes et les déclarations.",
    ),
    Promise(
        "watch",
        "Ce qui doit se faire chaque jour se fait",
        "Les contrôles et les sauvegardes se font à l’heure, sans qu’il faille y penser ; un oubli est signalé.",
        "Les exécutions prévues sont comparées à celles qui ont eu lieu.",
    ),
    Promise(
        "keys",
        "Les clés ne se perdent pas",
        "Les mots de passe sont conservés chiffrés, et une clé de secours, gardée au coffre, peut les relire.",
        "La liste des clés qui peuvent relire les secrets est consultée.",
    ),
    Promise(
        "erasure",
        "Les données sont effacées quand il le faut, jamais par accident",
        "À la fin d’une convention, les données sont rendues puis effacées, sur décision ; sans décision, rien n’est "
        "effacé.",
        "Le journal dit quand un site a été retiré ; les sites arrêtés dont les données attendent sont comptés.",
    ),
)
OTHER = Promise(
    "other",
    "Autres vérifications",
    "Ces vérifications ont été faites, mais ne sont rattachées à aucune des promesses ci-dessus.",
    "Chacune est décrite, en anglais, dans l’annexe technique.",
)

CHECKS: dict[str, Check] = {
    "page": Check(
        "answers",
        "Chaque site répond à un visiteur",
        "Un site ne répond pas comme il le devrait",
        "Chercher ce qui ne répond pas, et rétablir le site",
    ),
    "redirects": Check(
        "answers",
        "Les autres adresses d’un site mènent à son adresse principale",
        "Une autre adresse d’un site n’y mène pas",
        "Rétablir la redirection",
    ),
    "dns": Check(
        "answers",
        "Chaque adresse mène à nos serveurs",
        "Une adresse ne mène pas à nos serveurs",
        "Corriger l’adresse dans l’annuaire des noms (DNS), ou le demander à qui la détient",
        f"{SYSADMINS}, ou l’association si elle détient l’adresse",
    ),
    "running": Check(
        "answers",
        "Les programmes nécessaires fonctionnent",
        "Un programme nécessaire ne fonctionne pas",
        "Chercher pourquoi il s’est arrêté, et le remettre en marche",
    ),
    "failed-units": Check(
        "answers",
        "Aucun programme n’est en panne",
        "Un programme est en panne",
        "Chercher la cause de la panne, et y remédier",
    ),
    "certificate": Check(
        "certificates",
        "Le certificat de chaque adresse est valable et vient d’une autorité reconnue",
        "Le certificat d’une adresse ne convainc pas un visiteur",
        "Chercher pourquoi il n’est pas renouvelé, et y remédier avant sa fin",
    ),
    "isolation": Check(
        "isolation",
        "Depuis l’intérieur d’un site, rien de ce qui est aux autres ne peut être atteint",
        "Depuis l’intérieur d’un site, quelque chose qui est aux autres a pu être atteint",
        "Arrêter ce site jusqu’à ce que la cause soit connue, puis fermer l’accès",
    ),
    "unknown-name": Check(
        "isolation",
        "Une adresse inconnue ne mène au site de personne",
        "Une adresse inconnue mène au site d’une association",
        "Rétablir le refus des adresses inconnues",
    ),
    "backup": Check(
        "backups",
        "La dernière sauvegarde de chaque site est complète",
        "La dernière sauvegarde d’un site n’est pas complète",
        "Lire le motif, y remédier, puis relancer la sauvegarde",
        why="cette version ne fait pas encore de sauvegardes",
    ),
    "updates": Check(
        "updates",
        "Aucune correction de sécurité ne manque",
        "Une correction de sécurité manque",
        "Installer les corrections, et chercher pourquoi elles ne l’ont pas été d’elles-mêmes",
        why="sans listes récentes des logiciels, personne ne sait quelles corrections manquent",
    ),
    "update-runs": Check(
        "updates",
        "Les corrections s’installent d’elles-mêmes",
        "Les corrections ne s’installent plus d’elles-mêmes",
        "Remettre en marche l’installation automatique",
    ),
    "reboot": Check(
        "updates",
        "Aucun redémarrage n’est attendu pour qu’une correction prenne effet",
        "Un serveur doit être redémarré pour qu’une correction prenne effet",
        "Redémarrer le serveur à une heure calme",
    ),
    "accounts": Check(
        "closed",
        "Les seuls comptes qui existent sont ceux qui sont déclarés",
        "Un compte existe sans être déclaré",
        "Regarder ce que ce compte a fait, puis le supprimer",
    ),
    "keys": Check(
        "closed",
        "Seules les clés déclarées ouvrent les serveurs",
        "Une clé ouvre un serveur sans être déclarée",
        "Retirer la clé, et chercher qui l’a ajoutée",
    ),
    "sshd": Check(
        "closed",
        "L’accès à distance est réglé comme il le doit",
        "L’accès à distance n’est pas réglé comme il le doit",
        "Rétablir le réglage, et chercher qui l’a changé",
    ),
    "ports": Check(
        "closed",
        "Aucun programme n’attend de connexion sans être déclaré",
        "Un programme attend des connexions sans être déclaré",
        "Arrêter ce programme, et chercher d’où il vient",
    ),
    "ports-outside": Check(
        "closed",
        "De l’extérieur, on n’atteint que ce qui est ouvert à tous",
        "De l’extérieur, on atteint ce qui ne devrait pas l’être",
        "Fermer l’accès",
    ),
    "firewall": Check(
        "closed",
        "Le filtre du réseau est celui qui est déclaré",
        "Le filtre du réseau n’est pas celui qui est déclaré",
        "Rétablir le filtre, et chercher qui l’a changé",
    ),
    "mounted": Check(
        "limits",
        "L’espace de chaque site est à sa place",
        "L’espace d’un site n’est pas à sa place",
        "Remettre l’espace à sa place",
    ),
    "quota": Check(
        "limits",
        "La place accordée à chacun ne peut pas être dépassée",
        "La place accordée peut être dépassée",
        "Rétablir la limite",
        why="le noyau qui impose les limites est celui d’une autre machine, où cela se vérifie",
    ),
    "space": Check(
        "limits",
        "Il reste de la place dans l’espace de chaque site",
        "L’espace d’un site est presque plein",
        "Accorder plus de place, ou aider l’association à retirer ce qui ne sert plus",
        f"{REQUESTS}, avec l’association",
    ),
    "disk": Check(
        "limits",
        "Il reste de la place sur le disque de chaque serveur",
        "Le disque d’un serveur est presque plein",
        "Retirer ce qui ne sert plus, ou agrandir le disque",
    ),
    "drift": Check(
        "declared",
        "Rien ne s’écarte de ce qui est déclaré",
        "Quelque chose s’écarte de ce qui est déclaré",
        "Lire l’écart, puis le corriger ou le déclarer",
    ),
    "overrides": Check(
        "declared",
        "Aucun réglage n’a été ajouté à la main",
        "Un réglage a été ajouté à la main",
        "Lire ce réglage, puis le retirer ou le déclarer",
    ),
    "files": Check(
        "declared",
        "Les fichiers de réglage sont ceux qui ont été installés",
        "Un fichier de réglage a été modifié",
        "Rétablir le fichier, et chercher qui l’a modifié",
    ),
    "packages": Check(
        "declared",
        "Les logiciels installés sont intacts",
        "Un logiciel installé a été modifié",
        "Réinstaller ce logiciel, et chercher qui l’a modifié",
    ),
    "installed": Check(
        "declared",
        "Les logiciels déclarés sont installés",
        "Un logiciel déclaré n’est pas installé",
        "L’installer",
    ),
    "clock": Check(
        "watch",
        "Chaque serveur est à l’heure",
        "Un serveur n’est pas à l’heure",
        "Remettre le serveur à l’heure",
        why="un serveur d’essai partage l’heure de la machine qui le porte, qui est vérifiée par ailleurs",
    ),
    "journal": Check(
        "watch",
        "Chaque serveur garde la trace de ce qui s’y passe",
        "Un serveur ne garde plus la trace de ce qui s’y passe",
        "Rétablir l’enregistrement",
    ),
    "metrics": Check(
        "watch",
        "Chaque serveur donne ses mesures à la surveillance",
        "Un serveur ne donne plus ses mesures à la surveillance",
        "Rétablir les mesures",
    ),
    "secrets": Check(
        "keys",
        "Les secrets ne sont lisibles que par qui doit les lire",
        "Un secret est lisible par d’autres",
        "Fermer l’accès, et changer le secret",
    ),
    "escrow": Check(
        "keys",
        "Une clé de secours peut relire les secrets",
        "Aucune clé de secours ne peut relire les secrets",
        "Faire une clé de secours, et la mettre au coffre",
        why="une plateforme d’essai n’a pas de coffre",
    ),
    "orphans": Check(
        "erasure",
        "Aucun site arrêté n’attend de décision",
        "Les données d’un site arrêté attendent une décision",
        "Décider de ce que deviennent ces données : remettre le site en service, ou le retirer",
        OFFICIALS,
    ),
}
"""By the kind of a check: the part of its name before the colon."""

GLOSSARY = (
    (
        "Audit",
        "Vérification, faite par des programmes, que ce qui est promis est vrai au moment où on le regarde.",
    ),
    (
        "Certificat",
        "Document électronique qui prouve qu’une adresse est bien celle du site, et qui permet de chiffrer les "
        "échanges avec lui (le cadenas du navigateur).",
    ),
    ("Chiffré", "Rendu illisible pour qui n’a pas la clé."),
    (
        "Clé de secours",
        "Clé gardée au coffre, hors des serveurs. Elle permet de relire les secrets et les sauvegardes si tout le "
        "reste est perdu.",
    ),
    (
        "DNS (annuaire des noms)",
        "Ce qui dit, pour chaque adresse, à quel serveur elle mène. Qui détient une adresse en règle l’annuaire.",
    ),
    ("Convention", "Accord, validé par les élus, entre le syndicat et une association : durée, préavis, délais."),
    (
        "Demande",
        "Fichier public qui dit ce qu’une association demande. Elle est acceptée, ou non, par une personne.",
    ),
    ("Empreinte", "Suite de signes calculée à partir d’un fichier. Si le fichier change, elle change aussi."),
    ("Gio, Mio", "Gibioctet, mébioctet : unités de place. 1 Gio vaut 1 024 Mio, soit environ 1,07 milliard d’octets."),
    ("Journal", "Registre de ce qui a été changé : quand, par qui, et comment cela s’est terminé."),
    ("Place accordée (quota)", "Place que les fichiers et la base de données d’un site peuvent occuper ensemble."),
    (
        "Restauration",
        "Remise en service d’un site à partir d’une sauvegarde.",
    ),
    (
        "Sauvegarde",
        "Copie des fichiers et de la base de données d’un site, conservée chiffrée sur une autre machine : le "
        "serveur de sauvegardes.",
    ),
    ("Serveur", "Machine qui fait fonctionner les sites, ou qui garde leurs sauvegardes."),
    ("Site", "Un service en ligne fourni à une association, avec son adresse."),
    (
        "Site arrêté (orphelin)",
        "Site dont la demande a disparu. Il ne répond plus ; ses données sont conservées jusqu’à une décision.",
    ),
)
